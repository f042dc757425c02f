"""Benchmarks measure time; these tests look at everything else: names, counts, rules, and how rivals are run.

Rivals are small programs that speak as the real ones do; the real ones are not needed here.
"""

import json
import os
import sys
from pathlib import Path

import pytest

from foretell import cli
from foretell.cli import peers as peer_options
from foretell.engine import isa
from foretell.engine.kernels import probe as kernels
from foretell.engine.native import NativeModel
from foretell.errors import ForetellError, UsageError
from foretell.flags import PEER_PYTHON
from foretell.lab import engine as lab
from foretell.lab.peers import llama_server, process
from foretell.lab.peers.fairness import NEEDED, features, require
from foretell.lab.peers.library import LIBRARIES, Running, Way
from foretell.lab.peers.llama_cpp import LlamaCpp
from foretell.lab.peers.llama_server import LlamaServer, arguments
from foretell.profile.probe import Probe
from tiny import ISAS, Zoo

INFO = "CPU : AVX2 = 1 | F16C = 1 | FMA = 1 | AVX512 = 1 | AVX512_VNNI = 1 | REPACK = 1 |"

WORKER = """
import json, sys
for line in sys.stdin:
    command = json.loads(line)
    if command["op"] == "load":
        answer = {"version": "0.0.1", "system_info": INFO, "vocabulary": 301}
    elif CRASH:
        import os, signal
        print("about to crash", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    elif command["op"] == "step" and command["tokens"]:
        answer = {"seconds": 0.001 * len(command["tokens"])}
    else:
        answer = {"error": "RuntimeError: llama_decode gave 1"}
    print(json.dumps(answer), flush=True)
"""

SERVER = """
import http.server, json, sys
if CRASH:
    print("model is broken")
    sys.exit(3)
print("cmn : build 7 (abc) with GNU", flush=True)
print("cmn : system_info: n_threads = 1 | " + INFO, flush=True)
given = sys.argv[1:]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert request["cache_prompt"] is False and request["temperature"] == 0, request
        if request["prompt"][0] == 99:
            self.send_response(400)
            self.end_headers()
            self.wfile.write(b"too long")
            return
        self.send_response(200)
        self.end_headers()
        n = request["n_predict"]
        ends = request["prompt"][0] == 7
        for k in range(n - ends):
            self.say({"content": chr(97 + k), "tokens": [k], "stop": False})
        timings = {"predicted_n": n}
        if "--spec-type" in given:
            timings |= {"draft_n": 2 * n, "draft_n_accepted": n // 2}
        if request["prompt"][0] != 5:
            why = "eos" if ends else "limit"
            self.say({"content": "", "tokens": [], "stop": True, "stop_type": why, "timings": timings})

    def say(self, fields):
        self.wfile.write(b"data: " + json.dumps(fields).encode() + b"\\n\\n")
        self.wfile.flush()

    def log_message(self, *args):
        pass


http.server.HTTPServer(("127.0.0.1", int(given[given.index("--port") + 1])), Handler).serve_forever()
"""


def program(folder: Path, source: str, *, info: str = INFO, crash: bool = False) -> str:
    """An executable file of Python source, which ignores what it does not know of its arguments."""
    path = folder / "program"
    path.write_text(f"#!{sys.executable}\nINFO, CRASH = {info!r}, {crash}\n{source}")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("name", ISAS)
def test_the_probe_reads_everything_and_counts_all_products(zoo: Zoo, name: str) -> None:
    model = zoo.load("mixed", name)
    probe = Probe(model)
    matrices = [t for t in model.weights.tensors.values() if t.layout]
    assert probe.matrix_bytes == sum(t.n_bytes for t in matrices)
    assert probe.row_gmac == pytest.approx(sum(t.outputs * t.inputs for t in matrices) / 1e9)
    assert probe.reading in kernels.READS
    session = model.session()
    sequence = session.open()
    figures = probe.bandwidth_gb_s(), probe.peak_gmac_s(), probe.products_gb_s(session, sequence)
    assert all(figure > 0 for figure in figures)
    session.close(sequence)


def test_reading_touches_every_byte_of_its_pieces(tiny_model: NativeModel) -> None:
    """A reading leaves the exclusive or of all its words; that of the same bytes by NumPy must be equal."""
    import numpy as np

    probe = Probe(tiny_model)
    data = tiny_model.weights.data[: probe._read_bytes]
    expected = np.bitwise_xor.reduce(np.asarray(data).view(np.uint32).reshape(-1, 16), axis=0)
    team, whole = tiny_model.team, len(data)
    for name in kernels.READS:
        stage = probe._stage(name, int(tiny_model.weights.data.ctypes.data), whole, 1)
        if whole % kernels.UNIT:
            pytest.skip("the tiny model's pack is no multiple of a piece")
        probe._sink[:] = 0
        team.run(stage, 1, 1)
        assert (probe._sink.view(np.uint32)[:16] == expected).all(), name


def test_every_product_of_a_pass_is_found(tiny_model: NativeModel) -> None:
    probe = Probe(tiny_model)
    session = tiny_model.session()
    sequence = session.open()
    probe.products_gb_s(session, sequence)
    assert probe._products is not None
    # Per layer: q, k and v together; the attention's output; gate and up; down. Then the output matrix.
    assert len(probe._products) == 4 * tiny_model.hyper.layers + 1
    session.close(sequence)


def test_engine_figures_have_their_stable_names(
    tiny_model: NativeModel, zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab, "PROMPT_TOKENS", 40)
    probe, told = Probe(tiny_model), []
    with LlamaCpp(program(tmp_path, WORKER), zoo.path("qwen2"), threads=1, context=128) as peer:
        measured = lab.measure(tiny_model, probe, peer, [8, 3], 2, lambda: told.append(1))
        theirs = lab.report_peer(measured, peer)
    ours = lab.report(measured, probe)
    assert len(told) == lab.steps([8, 3], 2)
    assert list(ours["contexts"]) == ["3", "8"] == list(theirs["contexts"])
    for its in (*ours["contexts"].values(), *theirs["contexts"].values()):
        assert list(its["t_ms"]) == [str(n) for n in lab.COUNTS]
        assert all(0 < t["min"] <= t["median"] for t in its["t_ms"].values())
    names = {"prompt_tokens_per_s", "bandwidth_gb_s", "read_gb_s", "peak_gmac_s"}
    assert names <= set(ours)
    assert names <= set(theirs)
    assert theirs["contexts"]["8"]["t_ms"]["16"] == {"min": 16.0, "median": 16.0}
    assert theirs["features"]["AVX512_VNNI"] == 1
    ratios = ours["contexts"]["3"]
    assert ratios["over_bound"]["1"] <= 1
    assert ratios["over_peer"]["2"] == pytest.approx(ratios["t_ms"]["2"]["median"] / 2, abs=1e-3)
    json.dumps(ours | {"peer": theirs})


def test_the_engine_command_prints_one_line_of_json(
    zoo: Zoo, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETELL_CACHE", str(tmp_path))
    monkeypatch.setattr(lab, "PROMPT_TOKENS", 40)
    monkeypatch.setenv(PEER_PYTHON, program(tmp_path, WORKER))
    line = ["bench", "engine", "-m", str(zoo.path("qwen2")), "--contexts", "4", "--rounds", "1", "-t", "1"]
    assert cli.run([*line, "--peer", "llama.cpp", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["threads"] == 1
    assert {"model", "machine", "isa", "contexts"} <= set(figures)
    assert figures["peer"]["version"] == "0.0.1"
    assert cli.run(line) == 0
    *table, last = capsys.readouterr().out.strip().splitlines()
    assert "over bound" in table[0]
    assert "peer" not in json.loads(last)


def test_the_suite_command_takes_turns_with_the_rival(
    zoo: Zoo, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETELL_CACHE", str(tmp_path))
    monkeypatch.setenv("FORETELL_PEER_SERVER", program(tmp_path, SERVER))
    file = tmp_path / "suite.jsonl"
    file.write_text(json.dumps({"klass": "a", "id": 1, "prompt": "Hello"}))
    line = ["bench", "suite", str(file), "-m", str(zoo.path("qwen2")), "-n", "4", "-t", "1", "--peer", "llama.cpp"]
    assert cli.run([*line, "--peer-kinds", "plain, n-gram", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert list(figures["configurations"]) == ["plain", "O2", "llama.cpp plain", "llama.cpp n-gram"]
    assert figures["configurations"]["llama.cpp n-gram"]["a"]["tokens"] == 4
    assert [(each["name"], each["version"]) for each in figures["peers"]] == [("llama.cpp", "build 7 (abc) with GNU")]
    for more, says in [
        (["--temperature", "0.5"], "compared greedily"),
        (["--peer-kinds", "draft"], "--peer-draft"),
        (["--peer-kinds", ","], "peer-kinds is empty"),
        (["--peer-kinds", "magic"], "known: plain, n-gram, draft"),
        (["--peer", "openvino", "--peer-kinds", "draft"], "openvino runs plain and n-gram"),
        (["--peer", "nobody"], "known: llama.cpp, openvino, transformers"),
    ]:
        assert cli.run([*line, *more]) == 2
        assert says in capsys.readouterr().err
    program(tmp_path, SERVER, info="CPU : SSE3 = 1")
    if isa.host().name != "portable":
        assert cli.run([*line, "--peer-kinds", "plain"]) == 1
        assert "was compiled without" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--contexts", "a"], "contexts is 'a'"),
        (["--contexts", "0"], "contexts is '0'"),
        (["--peer", "nobody"], "unknown peer 'nobody'"),
        (["--peer", "llama.cpp", "--peer-python", "/nowhere/python"], "/nowhere/python"),
        (["--model", "toy"], "toy"),
    ],
)
def test_wrong_use_is_one_line(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["bench", "engine", *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert says in lines[0]


def test_a_rival_without_our_instructions_is_refused() -> None:
    have = features(INFO)
    for name in NEEDED:
        require(have, name, "it")
    require(features("CPU : SSE3 = 1"), "portable", "it")
    with pytest.raises(ForetellError, match="without AVX512, AVX512_VNNI"):
        require(features("CPU : AVX2 = 1 | FMA = 1 | F16C = 1 | AVX512_VNNI = 0 |"), "avx512", "it")


def test_features_of_anything() -> None:
    assert features("") == {}
    assert features("n_threads = 2 (n_threads_batch = 2) / 2 | CPU : AVX = 1 | odd = | x") == {"n_threads": 2, "AVX": 1}


def test_a_worker_that_crashes_or_fails_is_explained(zoo: Zoo, tmp_path: Path) -> None:
    with (
        LlamaCpp(program(tmp_path, WORKER, crash=True), zoo.path("qwen2"), threads=1, context=8) as peer,
        pytest.raises(ForetellError, match=r"crashed \(signal 11\).*docs/benchmarks.md.*about to crash"),
    ):
        peer.pass_s([1], 0)
    with (
        LlamaCpp(program(tmp_path, WORKER), zoo.path("qwen2"), threads=1, context=8) as peer,
        pytest.raises(ForetellError, match="llama_decode gave 1"),
    ):
        peer.pass_s([], 0)
    with pytest.raises(ForetellError, match="cannot run"):
        LlamaCpp(tmp_path / "nothing", zoo.path("qwen2"), threads=1, context=8)


def serve(folder: Path, kind: str = "plain", **how: bool) -> LlamaServer:
    draft = Path("draft.gguf")
    return LlamaServer(
        program(folder, SERVER, **how),
        Path("model.gguf"),
        lambda text: [int(text), 2, 3],
        frozenset({1000}),
        kind=kind,
        draft=draft,
        threads=1,
        context=64,
    )


def test_answers_of_the_server_by_our_definitions(tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        assert server.name == "llama.cpp plain"
        assert server.version == "build 7 (abc) with GNU"
        require(server.features, "avx512", "it")
        result = server.run("1", 4)
        assert (result.text, result.tokens, result.finish) == ("abcd", (0, 1, 2, 3), "length")
        assert (result.prompt_tokens, result.rounds, result.tokens_per_round, result.guessed) == (3, 3, 1.0, 0)
        assert result.first_token_s is not None
        assert 0 < result.first_token_s <= result.response_s
        assert result.tokens_per_s == pytest.approx(3 / (result.response_s - result.first_token_s))
        ended = server.run("7", 4)
        assert (ended.tokens, ended.finish, ended.rounds) == ((0, 1, 2), "stop", 3)
        with pytest.raises(ForetellError, match="refused the prompt: too long"):
            server.run("99", 4)
        with pytest.raises(ForetellError, match="broke off"):
            server.run("5", 4)
    assert server._process.poll() is not None


def test_guesses_of_the_server_count_as_ours_do(tmp_path: Path) -> None:
    with serve(tmp_path, "n-gram") as server:
        result = server.run("1", 9)
    assert (result.guessed, result.acceptance) == (18, 4 / 18)
    assert (result.rounds, result.tokens_per_round) == (4, 2.0)  # 8 tokens after the first, 4 of them guessed


def test_a_server_that_does_not_start_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ForetellError, match=r"ended with status 3 while loading.*model is broken"):
        serve(tmp_path, crash=True)


def test_ways_to_run_the_server() -> None:
    assert arguments("plain", None) == []
    assert arguments("n-gram", None) == ["--spec-type", llama_server.NGRAM]
    assert arguments("draft", Path("d.gguf"))[-1] == "d.gguf"
    with pytest.raises(UsageError, match="--peer-draft"):
        arguments("draft", None)
    with pytest.raises(UsageError, match="known: plain, n-gram, draft"):
        arguments("magic", None)


def test_where_rivals_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert peer_options.library_python(None, None) is None
    assert peer_options.wanted((), None, None, ("plain",)).server is None
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="no llama-server on the PATH"):
        peer_options.wanted(["llama.cpp"], None, None, ("plain",))
    with pytest.raises(UsageError, match="no openvino-genai, which openvino needs"):
        peer_options.wanted(["openvino"], None, None, ("plain",))
    python = peer_options.wanted(["openvino"], None, Path(sys.executable), ("plain",)).libraries
    assert python == {LIBRARIES["openvino"]: sys.executable}
    found = Path(program(tmp_path, "")).rename(tmp_path / "llama-server")
    assert peer_options.wanted(["llama.cpp"], None, None, ("plain",)).server == str(found)
    found.chmod(0o600)
    if os.geteuid():  # root may run anything that anyone may
        with pytest.raises(UsageError, match="not a program"):
            peer_options.wanted(["llama.cpp"], found, None, ("plain",))


LIBRARY = """
import json, sys, time
for line in sys.stdin:
    command = json.loads(line)
    if command.pop("op") == "load":
        answer = {"version": "library 1.0", "system_info": INFO}
        kinds, ends = command["kinds"], command["end_ids"]
    else:
        assert command["kind"] in kinds
        n, wide = command["count"], 2 if command["kind"] == "n-gram" else 1
        tokens = list(range(n))
        if command["tokens"][0] == 7:
            tokens = tokens[:3] + ends[:1]
        sizes = [len(tokens[i : i + wide]) for i in range(0, len(tokens), wide)]
        answer = {"tokens": tokens, "at_s": [0.5 + 0.25 * i for i in range(len(sizes))], "sizes": sizes}
    print(json.dumps(answer), flush=True)
"""


def test_answers_of_a_library_by_our_definitions(tmp_path: Path) -> None:
    library, python = LIBRARIES["transformers"], program(tmp_path, LIBRARY)
    ends = frozenset({1000})
    with Running(library, python, Path("m.gguf"), ("plain", "n-gram"), end_ids=ends, threads=1, context=64) as running:
        assert (running.version, running.system_info) == ("library 1.0", INFO)
        plain, lookup = (Way(running, kind, lambda text: [int(text), 2], str) for kind in running.kinds)
        assert (plain.name, lookup.name) == ("transformers plain", "transformers n-gram")
        result = plain.run("1", 5)
        assert (result.tokens, result.text, result.finish) == ((0, 1, 2, 3, 4), "(0, 1, 2, 3, 4)", "length")
        assert (result.first_token_s, result.response_s, result.tokens_per_s) == (0.5, 1.5, 4.0)
        assert (result.prompt_tokens, result.rounds, result.tokens_per_round) == (2, 4, 1.0)
        ended = plain.run("7", 5)
        assert (ended.tokens, ended.finish, ended.rounds) == ((0, 1, 2), "stop", 3)
        wide = lookup.run("1", 6)
        assert (wide.rounds, wide.tokens_per_round, wide.tokens_per_s) == (2, 2.0, 10.0)


def test_the_suite_command_takes_turns_with_several_rivals(
    zoo: Zoo, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETELL_CACHE", str(tmp_path))
    for name in ("server", "library"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("FORETELL_PEER_SERVER", program(tmp_path / "server", SERVER))
    monkeypatch.setenv(PEER_PYTHON, program(tmp_path / "library", LIBRARY))
    file = tmp_path / "suite.jsonl"
    file.write_text(json.dumps({"klass": "a", "id": 1, "prompt": "Hello"}))
    line = ["bench", "suite", str(file), "-m", str(zoo.path("qwen2")), "-n", "4", "-t", "1", "--peer-kinds", "plain"]
    line += ["--peer", "llama.cpp", "--peer", "openvino", "--peer", "transformers"]
    assert cli.run([*line, "--json", "--record", str(tmp_path / "run.jsonl")]) == 0
    figures = json.loads(capsys.readouterr().out)
    rivals = ["llama.cpp", "openvino", "transformers"]
    assert list(figures["configurations"]) == ["plain", "O2", *(f"{name} plain" for name in rivals)]
    assert [each["name"] for each in figures["peers"]] == rivals
    assert cli.run(["bench", "summary", str(tmp_path / "run.jsonl"), "--markdown"]) == 0
    head, _, klass, overall, _, about = capsys.readouterr().out.splitlines()
    assert head.startswith("| class | plain | O2 | llama.cpp plain | openvino plain | transformers plain | O2 / best")
    assert klass.startswith("| a | ")
    assert overall.startswith("| **overall** | ")
    assert len({row.count("|") for row in (head, klass, overall)}) == 1
    theirs = figures["configurations"]["openvino plain"]["a"]["tokens_per_s"]
    ours = figures["configurations"]["O2"]["a"]["tokens_per_s"]
    cells = dict(zip(head.split(" | "), klass.split(" | "), strict=True))
    assert cells["O2 / best openvino"] == f"{ours / theirs:.2f}"
    assert "library 1.0" in about


SCRIPT = """
from lines import serve
from pieces import Pieces

class Model:
    commands = frozenset({"generate"})
    def __init__(self, *, path):
        if path == "bad":
            raise OSError("no such file")
        print("libraries chat on stdout")
        self.about = {"version": "1"}
    def generate(self, count):
        pieces = Pieces()
        pieces.add(range(count))
        pieces.add([])
        pieces.add([7])
        return pieces.answer
    def hidden(self):
        return {}

serve(Model)
"""


def test_the_loop_of_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    for name in ("lines.py", "pieces.py"):
        (tmp_path / name).write_text((process.WORKERS / name).read_text())
    monkeypatch.setattr(process, "WORKERS", tmp_path)
    worker = process.Worker("rival", sys.executable, "script.py")
    try:
        with pytest.raises(ForetellError, match="rival: load comes first"):
            worker.ask("generate", count=2)
        with pytest.raises(ForetellError, match="rival: OSError: no such file"):
            worker.ask("load", path="bad")
        assert worker.ask("load", path="good") == {"version": "1"}
        answer = worker.ask("generate", count=2)
        assert (answer["tokens"], answer["sizes"]) == ([0, 1, 7], [2, 1])
        assert 0 <= answer["at_s"][0] <= answer["at_s"][1]
        with pytest.raises(ForetellError, match="unknown operation hidden"):
            worker.ask("hidden")
        with pytest.raises(ForetellError, match="unexpected keyword argument 'size'"):
            worker.ask("generate", size=2)
    finally:
        worker.close()
    assert not worker.folder.exists()
