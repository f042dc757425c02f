"""How speculative sampling works: a page whose pictures are computed by the rules that generation uses."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from foretell.errors import ForetellError, why
from foretell.lab.page import marks
from foretell.lab.page.parts import card, document, key, resource
from foretell.lab.page.svg import Markup, tag
from foretell.lab.reproduce import pictures
from foretell.lab.reproduce.speculation import (
    LENGTHS,
    Coupled,
    Example,
    Mean,
    coupled,
    coupled_chance,
    example,
    means,
    race,
)

TITLE: Final = "How speculative sampling works"
_COSTS: Final = (0.05, 0.3)  # of a guess, in passes of the target


_IDEA: Final = (
    "A model writes one token per pass, and a pass over several tokens takes little longer than a pass over one: the "
    "weights have to be read in any case. So a cheap draft guesses the next tokens, and one pass of the target gives "
    "its own distribution behind each of them. A rule keeps some of the guesses and adds one token. It is made so that "
    "what comes out follows the target's distribution p, whatever the draft's distribution q is; q only decides how "
    "many guesses are kept."
)
_SHARING: Final = (
    "A token can be drawn by adding noise of its own to the log probability of each word: the highest wins. Noise is a "
    "function of seed, position and word, so the draft can use the target's, and often draws the very same token. The "
    "guess is kept when it does, and the text is the target's own, token by token."
)
_SOURCES: Final = (
    "Leviathan and others, Fast inference from transformers via speculative decoding, arXiv 2211.17192: 1 to 5.",
    "Chen and others, Accelerating large language model decoding with speculative sampling, arXiv 2302.01318: 1 to 3.",
    "Daliri and others, Coupling without communication and drafter-invariant speculative decoding, 2408.07978: 6, 7.",
    "Computed by foretell.accept: distribution, reject, chance, noise and warpers, as generation uses them.",
)


def write_page(path: Path) -> None:
    """Compute and write the page, in some seconds. ForetellError when it cannot be written."""
    text = page(example(), means(), coupled())
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ForetellError(f"cannot write the page {path}: {why(error)}; give another --out") from error


def page(its: Example, found: Sequence[Mean], pairs: Sequence[Coupled]) -> str:
    """The whole page; well-formed as XML too."""
    cards = [
        card("The idea", "", tag("p", _IDEA, class_="prose"), wide=True),
        *(_overlap(its), _residual(its), _outcome(its), _tokens(found)),
        *(_gain(cost) for cost in _COSTS),
        *(_race(), _agreement(its, pairs)),
        card("Sources", "", tag("ul", *(tag("li", each) for each in _SOURCES), class_="how"), wide=True),
    ]
    line = "A small model guesses, a large one checks: the text is the large one's. Computed by Foretell's own rules."
    body = tag("main", tag("header", tag("h1", TITLE), tag("p", line)), tag("div", *cards, class_="grid top"))
    return document(TITLE, body, marks.style(), resource("foretell.lab.reproduce", "page.css"))


def _overlap(its: Example) -> Markup:
    kept = f"{its.common.sum():.3f}"
    return card(
        "1. Keep a guess with probability min(1, p / q)",
        f"A word is guessed and kept with probability min(p, q). All of green is {kept}: so often is the guess kept.",
        pictures.overlap(its),
        key(
            [("b2", "min(p, q): guessed and kept"), ("b1", "p beyond q: still lacking"), ("b3", "q beyond p: not kept")]
        ),
    )


def _residual(its: Example) -> Markup:
    return card(
        "2. Otherwise draw from what is lacking",
        f"The guess is not kept with probability {1 - its.common.sum():.3f}, which is just what blue adds up to: "
        "drawing from blue fills up p exactly.",
        pictures.leftover(its),
    )


def _outcome(its: Example) -> Markup:
    worst = float(abs(its.off).max())
    return card(
        "3. What comes out follows p",
        f"Columns: p. Dots: {its.rounds:,} tokens of the rule, bars two standard errors; the farthest is {worst:.1f} "
        f"standard deviations off. Guesses kept: {its.kept:.3f}, expected {its.common.sum():.3f}.",
        pictures.outcome(its),
        key([("b0", "p"), ("b4", "counted")]),
    )


def _tokens(found: Sequence[Mean]) -> Markup:
    inside = sum(abs(each.tokens - each.formula) <= 2 * each.error for each in found)
    names = [(f"b{colour}", f"{n} guess{'es' * (n > 1)}") for colour, n in zip((1, 2, 3, 4), LENGTHS, strict=True)]
    return card(
        "4. Tokens per round",
        f"γ guesses, each kept with chance α: (1 − α^(γ+1)) / (1 − α) tokens (lines). Dots: {found[0].rounds} rounds "
        f"of the rule each, bars two standard errors; {inside} of {len(found)} have the line within them.",
        pictures.tokens(found),
        key(names),
    )


def _gain(cost: float) -> Markup:
    return card(
        f"5. A guess that costs {cost:g} of a pass",
        "Times as fast as the target alone, (1 − α^(γ+1)) / ((1 − α)(γ c + 1)), where checking is free. Numbers at the "
        "lines are α, dots the best γ that is shown. Computed, not measured.",
        pictures.gain(cost),
    )


def _race() -> Markup:
    races = [(n, *race(n)) for n in range(200)]
    same = next((n, a, b) for n, a, b in races if a.argmax() == b.argmax())
    other = next((n, a, b) for n, a, b in races if a.argmax() != b.argmax())
    return card(
        "6. Sharing the noise",
        _SHARING,
        pictures.race(same[1], same[2], f"position {same[0]}, the same word"),
        pictures.race(other[1], other[2], f"position {other[0]}, different words"),
        key([("b1", "target"), ("b3", "draft, same noise")]),
    )


def _agreement(its: Example, pairs: Sequence[Coupled]) -> Markup:
    gap = max(each.rejection - each.formula for each in pairs)
    chance = coupled_chance(its.p, its.q)
    return card(
        "7. What sharing costs",
        f"Rings: chance by formula for {len(pairs)} pairs of models; dots: counted over {pairs[0].positions} "
        f"positions. Below the diagonal fewer guesses are kept than by rejection, here at most {100 * gap:.0f} in 100. "
        f"In the example above: {chance:.3f} instead of {its.common.sum():.3f}.",
        pictures.agreement(pairs),
        key([("b4", "Σ 1 / Σ max(p/p, q/q)"), ("b3", "counted")]),
    )
