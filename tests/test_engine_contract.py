"""The native engine under the contract of all backends."""

import pytest

from contract import SessionContract
from foretell.engine.session import NativeSession
from tiny import ISAS, Zoo


class TestNative(SessionContract):
    @pytest.fixture(params=[("qwen2", ISAS[0]), ("llama", "portable")], ids="-".join)
    def session(self, request: pytest.FixtureRequest, zoo: Zoo) -> NativeSession:
        name, instructions = request.param
        return zoo.load(name, instructions).session()
