"""Writes tests/golden/tokenizer.json: what llama.cpp makes of the handwritten hard texts.

    python bench/tokenizer_golden.py --model QWEN.gguf SMOLLM.gguf --peer-python peer/bin/python

Once with each model's own vocabulary, and once with a small vocabulary for each pre-tokeniser. The small one is learnt
from the texts as wholes, without cutting them into words, so that its merges cross every place where a pre-tokeniser
must cut. It lacks two bytes, as real vocabularies do.
"""

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from gguf import GGUFWriter, TokenType

from foretell.models.gguf import GGUF
from foretell.models.tokenizer import Tokenizer
from hard_texts import HANDWRITTEN
from tokenizer import Peer, peer

GOLDEN = Path(__file__).parent.parent / "tests" / "golden" / "tokenizer.json"
PRE_TOKENISERS = ("qwen2", "llama-bpe", "smollm")
MERGES = 600
LACKING = (0x04, 0x13)
WHOLE = ("ĠcafÃ©", "indented", "ĠmÃ¡s", "HELLO", "ĠwOrLd")  # in the vocabulary, but no merges make them
SPECIAL = {
    "<|im_start|>": TokenType.CONTROL,
    "<|im_end|>": TokenType.CONTROL,
    "<|endoftext|>": TokenType.CONTROL,
    "<|eot_id|>": TokenType.CONTROL,
    "<|fim_pad|>": TokenType.CONTROL,
    "<tool_call>": TokenType.USER_DEFINED,
    "</tool_call>": TokenType.USER_DEFINED,
    "<|im_end|><|im_end|>": TokenType.USER_DEFINED,
    "</s>": TokenType.NORMAL,
    "[PAD0]": TokenType.UNUSED,
}


def alphabet() -> list[str]:
    """GPT-2's characters for the 256 bytes, worked out independently of the package."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def learn(texts: Sequence[str], count: int) -> list[tuple[str, str]]:
    """The merges that byte-pair encoding learns from whole texts: always the most frequent pair, ties to the least."""
    letters = alphabet()
    words = [[letters[byte] for byte in text.encode() if byte not in LACKING] for text in texts]
    merges: list[tuple[str, str]] = []
    for _ in range(count):
        pairs = Counter(pair for word in words for pair in pairwise(word))
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = [list(merged(word, best)) for word in words]
    return merges


def merged(word: Sequence[str], pair: tuple[str, str]) -> Iterator[str]:
    """The word with each occurrence of the pair, from the left, made one."""
    i = 0
    while i < len(word):
        found = tuple(word[i : i + 2]) == pair
        yield "".join(pair) if found else word[i]
        i += 2 if found else 1


def small_vocabulary() -> dict[str, Any]:
    """Tokens, their types and merges."""
    merges = learn([text for text in HANDWRITTEN if not any(special in text for special in SPECIAL)], MERGES)
    bytes_ = [letter for byte, letter in enumerate(alphabet()) if byte not in LACKING]
    ordinary = list(dict.fromkeys([*bytes_, *map("".join, merges), *WHOLE]))
    kinds = [int(TokenType.NORMAL)] * len(ordinary) + [int(kind) for kind in SPECIAL.values()]
    return {"tokens": [*ordinary, *SPECIAL], "kinds": kinds, "merges": [" ".join(pair) for pair in merges]}


def write_small(path: Path, vocabulary: dict[str, Any], pre: str) -> None:
    """A GGUF file that is nothing but a vocabulary."""
    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(vocabulary["tokens"])
    writer.add_token_types(vocabulary["kinds"])
    writer.add_token_merges(vocabulary["merges"])
    writer.add_bos_token_id(vocabulary["tokens"].index("<|im_start|>"))
    writer.add_eos_token_id(vocabulary["tokens"].index("<|im_end|>"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def answers(rival: Peer) -> dict[str, Any]:
    """What llama.cpp says of one vocabulary."""
    about = rival.ask(op="describe")
    return {
        "peer": f"llama-cpp-python {about['version']}",
        "ends": about["ends"],
        "add_bos": about["add_bos"],
        "plain": rival.ask(op="tokenise", texts=HANDWRITTEN, special=False)["ids"],
        "special": rival.ask(op="tokenise", texts=HANDWRITTEN, special=True)["ids"],
    }


def printed(value: Any) -> str:
    """JSON with one list element a line, two levels down, so that a change can be read."""
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"{json.dumps(key)}: {printed(each)}" for key, each in value.items()) + "\n}"
    if isinstance(value, list) and value and isinstance(value[0], list | str):
        return "[\n" + ",\n".join(json.dumps(each, separators=(",", ":")) for each in value) + "\n]"
    return json.dumps(value, separators=(",", ":"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, nargs="+", required=True)
    parser.add_argument("--peer-python", required=True, help="an interpreter that has llama-cpp-python")
    options = parser.parse_args()
    golden: dict[str, Any] = {"texts": HANDWRITTEN, "models": {}, "vocabulary": small_vocabulary(), "small": {}}
    for model in options.model:
        with peer(options.peer_python, model) as rival, GGUF.open(model) as gguf:
            golden["models"][gguf.metadata["tokenizer.ggml.pre"]] = answers(rival)
    with tempfile.TemporaryDirectory() as folder:
        for pre in PRE_TOKENISERS:
            path = Path(folder, f"{pre}.gguf")
            write_small(path, golden["vocabulary"], pre)
            with peer(options.peer_python, path) as rival, GGUF.open(path) as gguf:
                golden["small"][pre] = answers(rival)
                tokenizer = Tokenizer.from_gguf(gguf)
            ours = [tokenizer.encode(text) for text in HANDWRITTEN]
            wrong = sum(pair[0] != pair[1] for pair in zip(ours, golden["small"][pre]["plain"], strict=True))
            print(f"{pre}: {wrong} of {len(HANDWRITTEN)} texts differ from ours")
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(printed(golden) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
