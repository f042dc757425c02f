"""Chat templates: the sandbox, the helpers that templates expect, and what a person is told when one fails."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from gguf import GGUFWriter

from foretell.errors import ForetellError
from foretell.models.gguf import GGUF
from foretell.models.pretokenise import PRE_TOKENISERS
from foretell.models.special import token_id
from foretell.models.store import Store
from foretell.models.template import ChatTemplate
from foretell.models.tokenizer import Tokenizer
from foretell.models.vocabulary import Kind, Vocabulary

USER = [{"role": "user", "content": "Hi <b>&"}]
TALK = [{"role": "system", "content": "S"}, *USER, {"role": "assistant", "content": "A"}, *USER]


def template(source: str) -> ChatTemplate:
    return ChatTemplate("m.gguf", source, {})


def write(path: Path, source: str | None) -> Path:
    writer = GGUFWriter(path, "llama")
    writer.add_token_list(["<s>", "</s>", "x"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(7)  # outside the vocabulary
    if source is not None:
        writer.add_chat_template(source)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def render_file(path: Path, source: str | None, messages: Sequence[Mapping[str, str]] = USER) -> str:
    with GGUF.open(write(path, source)) as gguf:
        found = ChatTemplate.from_gguf(gguf)
    return found.render(messages)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ messages[0].content }}", "Hi <b>&"),  # nothing is escaped
        ("{{ messages[0]['role'] }}\n", "user"),  # the last line end goes
        ("  {% if true %}\nx\n  {% endif %}\ny", "x\ny"),  # trim_blocks and lstrip_blocks
        ("{{ messages | length }}{{ tools is none }}{{ documents is none }}", "1TrueTrue"),
        ("{% if add_generation_prompt %}go{% endif %}", "go"),
        ("{{ {'ä': '<', 'a': 1} | tojson }}", '{"ä": "<", "a": 1}'),
        ("{{ [1, 2] | tojson(indent=1) }}", "[\n 1,\n 2\n]"),
        ("{{ {'b': 1, 'a': 2} | tojson(sort_keys=true, separators=(',', ':')) }}", '{"a":2,"b":1}'),
        ("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "01"),
        ("{% generation %}own {{ messages[0].role }}{% endgeneration %}!", "own user!"),
        ("{{ undefined_name }}|{{ messages[0].tool_calls }}", "|"),
    ],
)
def test_renders(source: str, expected: str) -> None:
    assert template(source).render(USER) == expected


def test_no_generation_prompt() -> None:
    source = "{% if add_generation_prompt %}go{% else %}stay{% endif %}"
    assert template(source).render(USER, add_generation_prompt=False) == "stay"


def test_date() -> None:
    before = datetime.now().astimezone().strftime("%Y")
    shown = template("{{ strftime_now('%Y') }}").render(USER)
    assert shown in {before, datetime.now().astimezone().strftime("%Y")}


def test_messages_are_not_changed() -> None:
    messages = [dict(message) for message in TALK]
    with pytest.raises(ForetellError):
        template("{{ messages.append(1) }}").render(messages)
    assert messages == TALK


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a\nb {% if %}", "is broken at line 2: "),
        ("{% endfor %}", "is broken at line 1: "),
        ("{{ messages | no_such_filter }}", "is broken at line 1: .*no_such_filter"),
        ("{{ raise_exception('roles must\nalternate') }}", "refuses this conversation: roles must alternate"),
        ("{{ messages[7].content }}", "refuses this conversation: .* has no element 7"),
        ("{{ nothing.content }}", "refuses this conversation: 'nothing' is undefined"),
        ("{{ ''.__class__.__mro__ }}", "refuses this conversation: .*unsafe"),
        ("{{ messages.clear() }}", "refuses this conversation: .*unsafe"),
        ("{{ 1 / 0 }}", "refuses this conversation: division by zero"),
        ("{{ 'a' + 1 }}", "refuses this conversation: can only concatenate"),
        ("{{ messages | tojson(indent=messages) }}", "refuses this conversation: "),
        ("{% for i in range(10 ** 9) %}{% endfor %}", "refuses this conversation: Range too big"),
    ],
)
def test_failures_are_one_line_that_helps(source: str, message: str) -> None:
    with pytest.raises(ForetellError, match=message) as caught:
        template(source).render(USER)
    assert str(caught.value).startswith("the chat template of m.gguf ")
    assert "--raw" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", [None, "", "  \n"])
def test_file_without_template(source: str | None, tmp_path: Path) -> None:
    with pytest.raises(ForetellError, match=r"m\.gguf has no chat template; use --raw"):
        render_file(tmp_path / "m.gguf", source)


def test_special_tokens_by_name(tmp_path: Path) -> None:
    source = "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ pad_token }}{{ unk_token }}"
    assert render_file(tmp_path / "m.gguf", source) == "<s>Hi <b>&</s>"


def test_vocabulary_is_read_only_if_the_template_needs_it(tmp_path: Path) -> None:
    with GGUF.open(write(tmp_path / "m.gguf", "{{ messages[0].content }}")) as gguf:
        assert ChatTemplate.from_gguf(gguf).tokens == {}


def test_token_id_outside_the_vocabulary() -> None:
    assert token_id({"id": 3}, "id", 3) is None
    assert token_id({"id": "3"}, "id", 9) is None
    assert token_id({}, "id", 9) is None
    assert token_id({"id": 0}, "id", 1) == 0


def test_look_alikes_in_messages_stay_text() -> None:
    tokens = ["<s>", "<e>", *"<>ensuri :"]
    vocabulary = Vocabulary(tokens, {0: Kind.CONTROL, 1: Kind.CONTROL}, [], [])
    metadata = {"tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.add_bos_token": True}
    tokenizer = Tokenizer(vocabulary, PRE_TOKENISERS["qwen2"], metadata)
    source = "{{ bos_token }}{{ messages[0].role }}:{{ messages[0].content }}<e>"
    message = {"role": "user", "content": tokenizer.protect("i<e>n")}
    rendered = ChatTemplate("m.gguf", source, {"bos_token": "<s>"}).render([message])
    ids = tokenizer.with_bos(tokenizer.encode_protected(rendered))
    assert ids[0] == 0  # bos once, although the template writes it and the tokenizer wants it
    assert ids.count(0) == ids.count(1) == 1
    assert ids[-1] == 1
    assert tokenizer.decode(ids) == "user:i<e>n"


# What Hugging Face's apply_chat_template gives for these models and TALK without, and with, its system message.
MODELS = {
    "qwen2.5-coder-0.5b": "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
    "smollm2-135m": "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
}


@pytest.mark.model
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("given", [True, False])
def test_model(name: str, given: bool) -> None:
    with GGUF.open(Store().resolve(name)) as gguf:
        found = ChatTemplate.from_gguf(gguf)
    system = "S" if given else MODELS[name]
    assert found.render(TALK if given else TALK[1:]) == (
        f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\nHi <b>&<|im_end|>\n"
        "<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nHi <b>&<|im_end|>\n<|im_start|>assistant\n"
    )
