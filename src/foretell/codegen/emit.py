"""Python for one round, specialised to its plan: readable, with the pipeline's statements as comments."""

import json
import re
from collections.abc import Iterable
from keyword import iskeyword
from typing import Final, assert_never

from foretell.codegen.plan import Plan
from foretell.ir.ops import Accept, Commit, Defer, Draft, Merge, Route, Statement, Verify
from foretell.ir.text import line

ENTRY: Final = "run_round"  # the generated function

_HOMES: Final = {  # what generated code may use → the module that has it
    "ROOT": "foretell.accept.proposal",
    "Proposal": "foretell.accept.proposal",
    "merge": "foretell.accept.proposal",
    "Chance": "foretell.accept.rule",
    "Verdict": "foretell.accept.rule",
    "everything": "foretell.codegen.defer",
    "hold": "foretell.codegen.defer",
    "Outcome": "foretell.codegen.round",
    "Parts": "foretell.codegen.round",
}
_LOCALS: Final = ("parts", "limit", "chance", "nothing", "guess", "kept", "token", "node", "path", "i")
_BUILTINS: Final = ("min", "tuple", "range", "enumerate")
_RESERVED: Final = frozenset((*_HOMES, *_LOCALS, *_BUILTINS, ENTRY))

_CHAIN: Final = """\
kept, token = 0, {v}.choice(ROOT)
for guess in {g}.guesses:
    if guess.token != token:
        break
    token = {v}.choice(kept)
    kept += 1
{a} = Verdict(tuple(range(kept)), token)"""

# Guesses come after their parents and siblings in order, so one look at each is enough.
_TREE: Final = """\
node, token, path = ROOT, {v}.choice(ROOT), []
for i, guess in enumerate({g}.guesses):
    if guess.parent == node and guess.token == token:
        node, token = i, {v}.choice(i)
        path.append(i)
{a} = Verdict(tuple(path), token)"""

_COMPARISONS: Final = {"none": "{a} = Verdict((), {v}.choice(ROOT))", "chain": _CHAIN, "tree": _TREE}


def source(plan: Plan) -> str:
    """A module with the function `run_round`, a `Round`."""
    body = _indented(_Emitter(plan).lines())
    used = set(re.findall(r"\w+", "\n".join(each for each in body if not each.lstrip().startswith("#"))))
    homes: dict[str, list[str]] = {}
    for name in sorted({"Parts", "Chance", "Outcome"} | used & set(_HOMES), key=lambda each: (each != "ROOT", each)):
        homes.setdefault(_HOMES[name], []).append(name)
    return "\n".join([
        f'"""One round of the pipeline {_word(plan.pipeline.name)}, class {plan.kind}; generated."""',
        "",
        *(f"from {home} import {', '.join(names)}" for home, names in sorted(homes.items())),
        "",
        "",
        f"def {ENTRY}(parts: Parts, limit: int, chance: Chance) -> Outcome:",
        *body,
        "",
    ])  # fmt: skip


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {each}" for each in lines]


def _word(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII)


class _Emitter:
    """Statement by statement; knows which variable holds what."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._variables: dict[str, str] = {"": "nothing"}
        self._asked: dict[str, str] = {}  # of each defer: the variable that says whether the target is asked

    def lines(self) -> list[str]:
        """The body of the function."""
        out = []
        for statement in self._plan.pipeline.statements:
            out += [f"# {line(statement)}", *self._emit(statement).splitlines()]
        return out

    def _emit(self, statement: Statement) -> str:
        match statement:
            case Draft(name=name, width=width):
                limit = "limit" if statement.paced else f"min({width}, limit)"  # a paced source looks ahead
                return f"{self._new(name)} = parts.sources[{json.dumps(name)}].propose({limit})"
            case Merge(name=name, width=width):
                joined = ", ".join(self._variables[each] for each in statement.proposals)
                return f"{self._new(name)} = merge([{joined}], min({width}, limit))"
            case Defer(name=name):
                held, variable = self._variables[statement.proposal], self._new(name)
                asked = self._asked[name] = self._free(f"{variable}_asks")
                return f"{variable}, {asked} = hold({held}, parts.defers[{json.dumps(name)}])"
            case Verify():
                return self._verify(statement)
            case Accept():
                return self._accept(statement)
            case Commit(tokens=tokens):
                return f"return Outcome({self._variables[self._plan.checked]}, {self._variables[tokens]})"
            case Route():
                return "# decided before the first round"
            case _:
                assert_never(statement)

    def _verify(self, statement: Verify) -> str:
        first = "" if statement.proposal else "nothing = Proposal()\n"
        knobs = ", constrained=True" if statement.constrained else ""
        when = f" if {self._asked[statement.proposal]} else None" if self._plan.optional else ""
        call = f"parts.verifier.verify({self._variables[statement.proposal]}{knobs}){when}"
        return f"{first}{self._new(statement.name)} = {call}"

    def _accept(self, statement: Accept) -> str:
        v, g, a = self._variables[statement.scores], self._variables[self._plan.checked], self._new(statement.name)
        if self._plan.compared:
            return _COMPARISONS[self._plan.shape].format(v=v, g=g, a=a)
        call = f"parts.rules[{json.dumps(statement.name)}]({g}, {v}, chance)"
        # where the pass was left out, the small model is sure of all that it said
        return f"{a} = everything({g}) if {v} is None else {call}" if self._plan.optional else f"{a} = {call}"

    def _new(self, name: str) -> str:
        variable = self._variables[name] = self._free(name)
        return variable

    def _free(self, name: str) -> str:
        """A variable as like the name as Python and the variables in use allow."""
        taken = _RESERVED.union(self._variables.values(), self._asked.values())
        variable = _word(name)
        if not variable.isidentifier():
            variable = f"_{variable}"
        while iskeyword(variable) or variable in taken:
            variable += "_"
        return variable
