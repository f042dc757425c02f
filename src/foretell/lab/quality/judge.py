"""Says whether an answer is right."""

from decimal import Decimal
from typing import assert_never

from foretell.lab.quality import extract, reckoning, writing
from foretell.lab.quality.items import Item, Number, Program, Texts, Verdict
from foretell.lab.quality.sandbox.run import Sandbox


def judge(item: Item, answer: str, sandbox: Sandbox) -> Verdict:
    """The verdict on an answer. sandbox: where programs are run."""
    match item.gold:
        case Program() as gold:
            code = extract.program(answer, gold.entry, gold.opening)
            if not code:
                return Verdict(False, "", "no code in the answer")
            outcome = sandbox.run(f"{gold.before}\n{code}", gold.checks)
            return Verdict(outcome.passed, code, outcome.why)
        case Number(value):
            found = reckoning.final_number(answer)
            if found is None:
                return Verdict(False, "", "no number in the answer")
            right = found == Decimal(value)
            return Verdict(right, str(found), "" if right else f"{found} instead of {value}")
        case Texts(source=source):
            return Verdict(None, writing.bare(answer, source))
        case _:
            assert_never(item.gold)
