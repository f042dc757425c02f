"""Pipelines from Python: build one with a few functions, print it, compile it, run it. See docs/pipelines.md.

>>> import foretell
>>> from foretell.build import lookup, merge, pipeline, recycled, show
>>> mine = pipeline("mine", merge(lookup(width=6), recycled(width=6), width=8))
>>> print(show(mine), end="")
pipeline mine
  g = draft(lookup, width=6)
  h = draft(recycled, width=6)
  m = merge(g, h, width=8)
  v = verify(m)
  a = accept(v, rule=coupled)
  commit(a)

>>> print(foretell.compile(mine).plan)
plan mine: exact
  g: lookup, chain of at most 6, point
  h: recycled, tree of at most 6, point
  m: g, h in one tree of at most 8
  v: one pass over 1 to 9 rows
  a: coupled, compared in place with a tree
  commit a

>>> with foretell.load("toy") as toy:
...     plain = toy.generate("tick tock tick tock tick", max_tokens=20, level="O0")
...     result = toy.generate("tick tock tick tock tick", max_tokens=20, pipeline=mine)
>>> result.text == plain.text, result.rounds < plain.rounds
(True, True)
"""

from foretell.ir.build import accept, copy, defer, grammar, lookup, merge, model, pipeline, recycled, route, verify
from foretell.ir.check import check
from foretell.ir.ops import Pipeline
from foretell.ir.presets import load as preset
from foretell.ir.text import parse, show

__all__ = [
    "Pipeline",
    "accept",
    "check",
    "copy",
    "defer",
    "grammar",
    "lookup",
    "merge",
    "model",
    "parse",
    "pipeline",
    "preset",
    "recycled",
    "route",
    "show",
    "verify",
]
