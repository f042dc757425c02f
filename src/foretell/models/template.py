"""The chat template that a GGUF file carries, rendered as Hugging Face's `apply_chat_template` would.

Templates are programs by strangers, so they run in Jinja's sandbox, without access to Python objects' insides.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

from foretell.errors import ForetellError
from foretell.models.gguf import GGUF
from foretell.models.special import token_id

if TYPE_CHECKING:
    from jinja2 import Template

# The names under which templates know special tokens → where the file keeps their ids.
_NAMED_TOKENS = {
    "bos_token": "tokenizer.ggml.bos_token_id",
    "eos_token": "tokenizer.ggml.eos_token_id",
    "unk_token": "tokenizer.ggml.unknown_token_id",
    "pad_token": "tokenizer.ggml.padding_token_id",
}


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A chat template, possibly absent.

    name: the file, for messages. source: the template's text, None when the file has none.
    tokens: the texts of the special tokens that the template mentions.
    """

    name: str
    source: str | None
    tokens: Mapping[str, str]

    @classmethod
    def from_gguf(cls, gguf: GGUF) -> Self:
        """The file's template. That it has none, or a broken one, only matters once somebody renders it."""
        source = gguf.metadata.get("tokenizer.chat_template")
        if not isinstance(source, str) or not source.strip():
            return cls(str(gguf.path), None, {})
        mentioned = {name: key for name, key in _NAMED_TOKENS.items() if name in source}
        texts = gguf.metadata.get("tokenizer.ggml.tokens", ()) if mentioned else ()  # dear: 150,000 strings
        ids = {name: token_id(gguf.metadata, key, len(texts)) for name, key in mentioned.items()}
        return cls(str(gguf.path), source, {name: texts[i] for name, i in ids.items() if i is not None})

    def render(self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
        """The prompt for a conversation.

        Args:
            messages: each with "role" (system, user, assistant) and "content", which goes through `Tokenizer.protect`
                before if the result is to be encoded.
            add_generation_prompt: end with what begins the model's answer.

        Raises:
            ForetellError: there is no template, it is broken, or it refuses these messages.
        """
        if self.source is None:
            raise ForetellError(f"{self.name} has no chat template; use --raw to give the prompt to the model as it is")
        from jinja2 import TemplateError, TemplateSyntaxError  # noqa: PLC0415  # 60 ms that --raw need not pay

        values: dict[str, Any] = {
            **self.tokens,
            "messages": [dict(message) for message in messages],
            "tools": None,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
        }
        try:
            return _compile(self.source).render(values)
        except TemplateSyntaxError as error:
            raise self._failure(f"is broken at line {error.lineno}", error) from error
        except (
            TemplateError,
            ArithmeticError,
            AttributeError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            raise self._failure("refuses this conversation", error) from error

    def _failure(self, what: str, error: Exception) -> ForetellError:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return ForetellError(f"the chat template of {self.name} {what}: {reason}; --raw goes without the template")


@lru_cache(maxsize=8)
def _compile(source: str) -> "Template":
    from jinja2 import nodes  # noqa: PLC0415
    from jinja2.ext import Extension, loopcontrols  # noqa: PLC0415
    from jinja2.parser import Parser  # noqa: PLC0415
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415

    class Generation(Extension):
        """`{% generation %}`, which marks the model's own words for training. Here its content is simply shown."""

        tags = {"generation"}  # noqa: RUF012  # Jinja's interface

        def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    functions: dict[str, Callable[..., Any]] = {"raise_exception": _raise, "strftime_now": _now}
    environment.globals.update(functions)
    return environment.from_string(source)


def _raise(message: str) -> None:
    from jinja2 import TemplateError  # noqa: PLC0415

    raise TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON without Jinja's escaping for HTML, which models were not trained on."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
