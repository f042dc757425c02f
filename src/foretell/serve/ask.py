"""What a request asks for, whichever endpoint it came to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from foretell.accept.grammar import Kind
from foretell.accept.sampling import MOST_BIASES, PENALTIES
from foretell.runtime.settings import Options
from foretell.serve.fields import Fields, checked_string
from foretell.serve.formats import read_format
from foretell.serve.limits import MOST_STOP_CHARACTERS, MOST_STOPS, Limits
from foretell.serve.refusal import Refusal, wrong

Messages = tuple[dict[str, str], ...]

# Without effect here: who asks, what a provider's infrastructure does with it, and hints that change no text.
IGNORED: Final = frozenset(
    {"metadata", "store", "service_tier", "prompt_cache_key", "prompt_cache_retention", "verbosity"}
)
ONE: Final = "one answer is computed for a request; send several requests"
PENALTY: Final = "this server has repeat_penalty (1: none) for that"
TINY_TOP_P: Final = 1e-9  # top_p 0, which some clients send: the likeliest token alone


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, checked as far as that needs no model.

    messages: for the chat template; empty where there is a prompt: a text to continue, or token ids. options: see
    `foretell.runtime.settings.Options`. format: kind and text of a grammar. logprobs: whether they are wanted, and of
    how many alternatives (`top`). include_usage: whether a stream ends with the counts. user: who asks, as far as the
    client says. prediction: a text that the answer may be like.
    """

    model: str
    messages: Messages
    prompt: str | tuple[int, ...]
    options: Options
    format: tuple[Kind, str] | None
    stream: bool
    include_usage: bool
    logprobs: bool
    top: int
    user: str
    prediction: str


def read_ask(
    fields: Fields,
    limits: Limits,
    *,
    messages: Messages = (),
    prompt: str | tuple[int, ...] = "",
    prediction: str = "",
    logprobs: tuple[bool, int],
) -> Ask:
    """The fields that both endpoints have; `fields` then has none left."""
    model = fields.text("model")
    if model is None:
        raise wrong("model", "missing: name the model, see /v1/models", "missing_required_parameter")
    wanted, top = logprobs
    # Log-probabilities of the chosen tokens alone come along with one alternative, which is left out later.
    options = _options(fields, limits) | {"logprobs": max(1, top) if wanted else 0}
    stream = fields.flag("stream")
    usage, format_ = _include_usage(fields, stream=stream), read_format(fields)
    user = fields.text("user") or ""
    user = fields.text("safety_identifier") or user
    fields.only("n", (1,), ONE)
    fields.end(IGNORED)
    return Ask(
        model=model,
        messages=messages,
        prompt=prompt,
        options=Options(**options),  # type: ignore[typeddict-item]  # a plain dictionary until here
        format=format_,
        stream=stream,
        include_usage=usage,
        logprobs=wanted,
        top=top,
        user=user[:256],
        prediction=prediction,
    )


def _options(fields: Fields, limits: Limits) -> dict[str, Any]:
    for name in ("presence_penalty", "frequency_penalty"):
        fields.only(name, (0, 0.0), PENALTY)
    options: dict[str, Any] = {
        "max_tokens": _max_tokens(fields, limits),
        "temperature": fields.number("temperature", 0, 2),
        "top_p": fields.number("top_p", 0, 1),
        "top_k": fields.whole("top_k", 0, 2**31 - 1),
        "min_p": fields.number("min_p", 0, 0.999999),
        "repeat_penalty": fields.number("repeat_penalty", *PENALTIES),
        "seed": fields.whole("seed", -(2**63), 2**64 - 1),
        "stop": _stops(fields),
        "logit_bias": _bias(fields),
    }
    if options["top_p"] is not None:
        options["top_p"] = max(TINY_TOP_P, options["top_p"])
    if options["seed"] is not None:
        options["seed"] %= 2**64
    return {name: value for name, value in options.items() if value is not None}


def _max_tokens(fields: Fields, limits: Limits) -> int:
    names = ("max_completion_tokens", "max_tokens")
    given = {name: value for name in names if (value := fields.whole(name, 1, 2**31 - 1)) is not None}
    if len(set(given.values())) > 1:
        raise wrong("max_tokens", f"{given['max_tokens']}, but max_completion_tokens differs: give one")
    for name, value in given.items():
        if limits.most_tokens is not None and value > limits.most_tokens:
            raise wrong(name, f"{value}, must be {limits.most_tokens} at most on this server")
        return value
    return min(limits.max_tokens, limits.most_tokens or limits.max_tokens)


def _stops(fields: Fields) -> tuple[str, ...]:
    value = fields.get("stop")
    given = [] if value is None else value if isinstance(value, list) else [value]
    if len(given) > MOST_STOPS:
        raise wrong("stop", f"{len(given)} texts, must be {MOST_STOPS} at most")
    stops = tuple(checked_string(each, "stop") for each in given)
    if "" in stops:
        raise wrong("stop", "an empty text, must have at least one character")
    if any(len(each) > MOST_STOP_CHARACTERS for each in stops):
        raise wrong("stop", f"a text of more than {MOST_STOP_CHARACTERS} characters")
    return stops


def _bias(fields: Fields) -> dict[int, float] | None:
    value = fields.get("logit_bias")
    if value is None:
        return None
    if not isinstance(value, Mapping) or len(value) > MOST_BIASES:
        raise wrong("logit_bias", f"must be an object of token ids and numbers, {MOST_BIASES} at most", "invalid_type")
    each = Fields(value, "logit_bias")
    bias = {}
    for token in value:
        number = each.number(token, -100, 100)
        if not (token.isascii() and token.isdecimal() and len(token) <= 9) or number is None:
            raise wrong("logit_bias", "each name must be a token id, each value a number between -100 and 100")
        bias[int(token)] = number
    return bias


def _include_usage(fields: Fields, *, stream: bool) -> bool:
    inner = fields.inner("stream_options")
    if inner is None:
        return False
    if not stream:
        raise wrong("stream_options", "only for stream: true")
    usage = inner.flag("include_usage")
    inner.end(("include_obfuscation",))
    return usage


def check_model(asked: str, name: str) -> None:
    """Raise a Refusal for another model than the one that is served."""
    if asked != name:
        message = f"there is no model {asked[:100]!r} here; this server has {name!r}"
        raise Refusal(404, message, param="model", code="model_not_found")
