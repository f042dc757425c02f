"""`bench/footprint.py` measures; this test looks at everything else, on a tiny model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tiny import Zoo

SCRIPT = Path(__file__).parents[1] / "bench" / "footprint.py"
QUICK = ["--loads", "1", "--idle-s", "0.1", "--tokens", "24", "--context", "512", "--rounds", "2"]


def footprint(*arguments: str, cache: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(SCRIPT), *arguments]
    environment = os.environ | {"FORETELL_CACHE": str(cache)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_footprint_of_a_tiny_model(zoo: Zoo, tmp_path: Path) -> None:
    done = footprint(str(zoo.path("qwen2")), *QUICK, cache=tmp_path)
    assert done.returncode == 0, done.stderr
    table, line = done.stdout.rstrip("\n").rsplit("\n", 1)
    report = json.loads(line)
    assert report["later_load_s"]["count"] == 1
    assert report["first_load_s"] > report["later_load_s"]["median"]  # it compiles
    assert report["held_tokens"] > 256
    memory = report["resident_bytes"]
    assert memory["peak"] >= memory["after"] >= report["packed_bytes"] + report["kv_bytes"] > 0
    assert report["resident_limit_bytes"]["after"] - report["resident_limit_bytes"]["before"] == report["kv_bytes"]
    for name, figures in report["outside_ms"].items():
        assert name in table
        assert 0 < figures["median"] <= figures["p95"]
    assert report["outside_ms"]["no guesses"]["tokens_per_round"] == 1
    assert (
        report["outside_ms"]["no guesses"]["rounds"] == 22
    )  # 24 tokens: the first is the prompt's, the last has no next
    loop = report["draft_loop"]
    assert loop["pass_ms"] > 0
    assert {steps: figures["ratio"] > 0 for steps, figures in loop["steps"].items()} == dict.fromkeys("148", True)
    assert list(tmp_path.iterdir()) == []  # it had a cache of its own


def test_footprint_of_no_model(tmp_path: Path) -> None:
    done = footprint(str(tmp_path / "no.gguf"), cache=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
