"""Build a pipeline, print it, compile it, run it.

    python examples/pipelines.py                                          # the built-in toy, without a draft model
    python examples/pipelines.py qwen2.5-coder-1.5b qwen2.5-coder-0.5b    # a target and a draft model

The text is the target's own, whatever is guessed; what changes is how many passes it takes.
"""

import sys

import foretell
from foretell.build import Pipeline, lookup, merge, model, pipeline, show

PROMPT = "Write a Python function that reverses a string, then the same function with type hints."


def own_pipeline(*, drafting: bool) -> Pipeline:
    """Copied guesses first; behind them, if there is a draft model, its own, where it is sure of them."""
    copied = lookup(width=6)
    if not drafting:
        return pipeline("mine", copied)
    return pipeline("mine", merge(copied, model("draft", width=4, inner="lookup", stop=0.4), width=8))


def main(target: str = "toy", draft: str | None = None) -> None:
    """Compare a pipeline of one's own with the target alone and with what the level O2 makes."""
    with foretell.load(target, draft=draft) as loaded:
        mine = own_pipeline(drafting=draft is not None)
        print(show(mine))
        compiled = foretell.compile(mine, level="O2", facts=loaded.facts)
        print(compiled.passes)
        print(compiled.plan, end="\n\n")

        plain = loaded.generate(PROMPT, max_tokens=96, level="O0")
        print(plain.text, end="\n\n")
        for name, chosen in (("mine", mine), ("mine after passes", compiled.pipeline), ("O2", None)):
            result = loaded.generate(PROMPT, max_tokens=96, pipeline=chosen)
            assert result.tokens == plain.tokens
            print(f"{name}: {result.rounds} passes of the target, {plain.rounds} without guesses")


if __name__ == "__main__":
    main(*sys.argv[1:3])
