"""The table of laws, written a second time: every combination that is not in it must be refused."""

from itertools import product

import pytest

from foretell.ir.laws import CLASSES, LAWS, Refusal, judge, weakest
from foretell.ir.ops import ACCEPT_RULES, Law

CHAIN, TREE = True, False

# (rule, law, chain) → class, of guesses that nobody selected among and that the target still has to see.
SOUND = {
    **{(rule, law, shape): "exact" for rule in ("greedy", "coupled") for law in LAWS for shape in (CHAIN, TREE)},
    ("reject", "sampled", CHAIN): "distribution",
    ("reject", "point", CHAIN): "distribution",
    ("reject", "point", TREE): "distribution",
    ("block", "sampled", CHAIN): "distribution",
    ("multi", "without_replacement", CHAIN): "distribution",
    ("multi", "without_replacement", TREE): "distribution",
    ("mix", "sampled", CHAIN): "lossy",
    ("cascade", "sampled", CHAIN): "lossy",
}


@pytest.mark.parametrize(("rule", "law", "chain"), list(product(ACCEPT_RULES, LAWS, (CHAIN, TREE))))
def test_the_table(rule: str, law: Law, chain: bool) -> None:
    fresh = judge(rule, law, chain=chain, pruned=False)
    pruned = judge(rule, law, chain=chain, pruned=True)
    deferred = [judge(rule, law, chain=chain, pruned=each, deferred=True) for each in (True, False)]
    expected = SOUND.get((rule, law, chain))
    assert fresh == expected if expected else isinstance(fresh, Refusal)
    assert pruned == expected if expected == "exact" else isinstance(pruned, Refusal)
    assert all(each == "lossy" if rule == "keep" else isinstance(each, Refusal) for each in deferred)


@pytest.mark.parametrize(("rule", "law", "chain"), sorted(set(product(ACCEPT_RULES, LAWS, (CHAIN, TREE))) - set(SOUND)))
def test_refusals_give_a_reason(rule: str, law: Law, chain: bool) -> None:
    verdict = judge(rule, law, chain=chain, pruned=False)
    assert isinstance(verdict, Refusal)
    assert rule in verdict.reason
    assert rule == "keep" or law in verdict.reason


def test_reasons() -> None:
    verdicts = [
        judge("block", "coupled", chain=CHAIN, pruned=False),
        judge("reject", "sampled", chain=TREE, pruned=False),
        judge("reject", "sampled", chain=CHAIN, pruned=True),
        judge("multi", "sampled", chain=TREE, pruned=False),
        judge("coupled", "sampled", chain=CHAIN, pruned=False, deferred=True),
        judge("best", "point", chain=CHAIN, pruned=False),
    ]
    words = [
        "target's own noise",
        "may be equal",
        "merge selects",
        "of law sampled",
        "rule is keep",
        "no rule 'best'",
    ]
    for verdict, word in zip(verdicts, words, strict=True):
        assert isinstance(verdict, Refusal)
        assert word in verdict.reason


def test_weakest() -> None:
    assert CLASSES == ("exact", "distribution", "lossy")
    assert weakest(()) == "exact"
    assert weakest(("distribution", "exact")) == "distribution"
    assert weakest(("exact", "lossy", "distribution")) == "lossy"
