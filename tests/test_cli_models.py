import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from foretell import __version__, cli
from foretell.cli.progress import human, parse_size
from foretell.errors import UsageError
from foretell.models.catalogue import Catalogue


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("FORETELL_CACHE", str(folder))
    monkeypatch.setenv("COLUMNS", "100")
    return folder


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = cli.run(list(arguments))
    out, err = capsys.readouterr()
    return status, out, err


def put(cache: Path, name: str, n_bytes: int) -> Path:
    path = cache / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * n_bytes)
    return path


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "--version") == (0, f"foretell {__version__}\n", "")
    status, out, err = call(capsys, "--help")
    assert (status, err) == (0, "")
    for name in ("models", "pull", "cache"):
        assert name in out


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["nope"], 2, "No such command 'nope'"),
        (["models", "--nope"], 2, "No such option"),
        (["pull"], 2, "Missing argument"),
        (["pull", "smollm"], 1, "did you mean smollm2-135m?"),
        (["pull", "./missing.gguf"], 1, "there is no file missing.gguf"),
        (["cache", "limit", "much"], 2, "is not a size"),
        (["cache", "clear", "weights"], 2, "unknown kind 'weights'"),
    ],
)
def test_errors_are_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, says: str) -> None:
    got, out, err = call(capsys, *arguments)
    assert (got, out) == (status, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert says in err


@pytest.mark.parametrize(("raised", "status"), [(KeyboardInterrupt(), 130), (UsageError("odd"), 2)])
def test_status_of_what_a_command_raises(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, raised: BaseException, status: int
) -> None:
    def fail() -> Catalogue:
        raise raised

    monkeypatch.setattr(Catalogue, "load", fail)
    got, _, err = call(capsys, "models")
    assert got == status
    assert "Traceback" not in err


def test_models(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    put(cache, "models/smollm2-135m-instruct-q4_1.gguf", 10)
    put(cache, "models/hf/org/repo/x.gguf", 10)
    status, out, _ = call(capsys, "models")
    assert status == 0
    assert "qwen2.5-coder-1.5b *" in out
    assert "hf:org/repo/x.gguf" in out
    status, out, err = call(capsys, "models", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert [each["name"] for each in found["models"] if each["path"]] == ["smollm2-135m"]
    assert [each["name"] for each in found["models"] if each["default"]] == ["qwen2.5-coder-1.5b"]
    assert [each["name"] for each in found["others"]] == ["hf:org/repo/x.gguf"]


def test_pull_prints_paths(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = put(tmp_path, "mine.gguf", 5)
    assert call(capsys, "pull", str(path)) == (0, f"{path}\n", "")
    status, out, _ = call(capsys, "pull", str(path), "--json")
    assert status == 0
    assert json.loads(out) == {"pulled": [{"name": str(path), "path": str(path), "size_bytes": 5}]}


@pytest.mark.parametrize("arguments", [["cache"], ["cache", "list"]])
def test_cache_list(capsys: pytest.CaptureFixture[str], cache: Path, arguments: list[str]) -> None:
    put(cache, "packed/a.bin", 1500)
    put(cache, "models/.locks/x.lock", 0)
    status, out, _ = call(capsys, *arguments)
    assert status == 0
    assert "packed/a.bin" in out
    assert "1.5 kB" in out
    assert ".lock" not in out
    found = json.loads(call(capsys, *arguments, "--json")[1])
    assert found["totals_bytes"]["packed"] == 1500
    assert [each["path"] for each in found["files"]] == [str(cache / "packed/a.bin")]


def test_cache_clear_keeps_models_and_asks(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    model, packed = put(cache, "models/m.gguf", 10), put(cache, "packed/a.bin", 10)
    status, _, err = call(capsys, "cache", "clear")
    assert status == 2
    assert "add --yes" in err
    assert packed.exists()
    assert call(capsys, "cache", "clear", "--yes")[:2] == (0, "deleted 1 files, 10 B\n")
    assert model.exists()
    status, out, _ = call(capsys, "cache", "clear", "--all", "--yes", "--json")
    assert json.loads(out)["freed_bytes"] == 10
    assert not model.exists()


def test_cache_limit(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    old, new = put(cache, "packed/old.bin", 600), put(cache, "code/new.o", 600)
    os.utime(old, (1000, 1000))
    status, out, _ = call(capsys, "cache", "limit", "1kB", "--json")
    assert status == 0
    assert [each["path"] for each in json.loads(out)["deleted"]] == [str(old)]
    assert new.exists()


def test_sizes() -> None:
    assert [human(n) for n in (0, 999, 1500, 2_500_000, 1_117_320_768, 5 * 10**12)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "2.5 MB",
        "1.1 GB",
        "5.0 TB",
    ]
    texts = ("0", "10", "1k", "1.5 GB", "2GiB", "3 mib", "1T")
    assert [parse_size(text) for text in texts] == [0, 10, 1000, 1_500_000_000, 2 << 30, 3 << 20, 10**12]
    for text in ("", "x", "-1", "1 PB", "GB", "i", "1 i"):
        with pytest.raises(UsageError):
            parse_size(text)


def test_a_closed_pipe_is_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "foretell", "models", "--json"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
