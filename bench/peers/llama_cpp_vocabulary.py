"""Tokenises with llama.cpp: one JSON command a line on stdin, one JSON answer a line on stdout.

Run by an interpreter that has llama-cpp-python, with a model as its argument; only the vocabulary is loaded. Any build
of the library will do, since tokenisation does not depend on the processor.

    {"op": "describe"}                              → {"version", "ends", "add_bos", "pieces", "shown"}
    {"op": "tokenise", "texts": [...], "special": b}  → {"ids", "seconds"}

pieces: each token's bytes in hexadecimal; shown: the same, without the names of control tokens.
"""

import ctypes
import json
import sys
import time
from typing import Any

import llama_cpp as llama


class Vocabulary:
    """The tokenizer of one model."""

    def __init__(self, path: str) -> None:
        given = llama.llama_model_default_params()
        given.vocab_only = True
        model = llama.llama_model_load_from_file(path.encode(), given)
        if not model:
            raise SystemExit(f"llama.cpp cannot load {path}")
        self.vocab = llama.llama_model_get_vocab(model)
        self.size = llama.llama_vocab_n_tokens(self.vocab)

    def describe(self) -> dict[str, Any]:
        """What does not depend on a text."""
        return {
            "version": llama.__version__,
            "ends": [i for i in range(self.size) if llama.llama_vocab_is_eog(self.vocab, i)],
            "add_bos": bool(llama.llama_vocab_get_add_bos(self.vocab)),
            "pieces": [self._piece(i, True) for i in range(self.size)],
            "shown": [self._piece(i, False) for i in range(self.size)],
        }

    def tokenise(self, texts: list[str], special: bool) -> dict[str, Any]:
        """Ids of each text without bos, and the seconds it took."""
        raw = [text.encode() for text in texts]
        begin = time.perf_counter()
        ids = [self._ids(text, special) for text in raw]
        return {"ids": ids, "seconds": time.perf_counter() - begin}

    def _ids(self, text: bytes, special: bool) -> list[int]:
        room = len(text) + 1
        buffer = (llama.llama_token * room)()
        count = llama.llama_tokenize(self.vocab, text, len(text), buffer, room, False, special)
        if count < 0:
            raise SystemExit(f"llama.cpp needs {-count} tokens for {len(text)} bytes")
        return list(buffer[:count])

    def _piece(self, token: int, special: bool) -> str:
        buffer = ctypes.create_string_buffer(1024)
        count = llama.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, special)
        return buffer.raw[:count].hex()


@llama.llama_log_callback  # type: ignore[untyped-decorator, unused-ignore]
def _quiet(_level: int, _text: bytes, _data: ctypes.c_void_p) -> None:
    """It reports the whole vocabulary otherwise."""


def main() -> None:
    llama.llama_log_set(_quiet, ctypes.c_void_p(0))
    llama.llama_backend_init()
    vocabulary = Vocabulary(sys.argv[1])
    for line in sys.stdin:
        command = json.loads(line)
        operation = command.pop("op")
        answer = vocabulary.describe() if operation == "describe" else vocabulary.tokenise(**command)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
