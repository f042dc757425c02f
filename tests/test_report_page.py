"""What a report looks like: the page, the pictures, the terminal; and what the command refuses."""

import json
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.cli import run
from foretell.lab.experiment.rows import Row
from foretell.lab.page.marks import MARKS, colours
from foretell.lab.page.pictures import write_png
from foretell.lab.report import plots
from foretell.lab.report.labels import DOT, place
from foretell.lab.report.page import page
from foretell.lab.report.report import Report, report
from foretell.lab.report.write import pictures, write
from report_rows import SIDES, make

FEW = {name: SIDES[name] for name in ("O0", "O2", "Oe", "mix epsilon=0.2", "small alone")}


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return make(prompts=2, judged=12, sides=FEW)


@pytest.fixture(scope="module")
def said(rows: list[Row]) -> Report:
    return report(rows)


def save(folder: Path, rows: list[Row]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row.to_json())}\n" for row in rows), encoding="utf-8")
    return folder


def parsed(markup: str) -> ET.Element:
    return ET.fromstring(markup.removeprefix("<!DOCTYPE html>"))  # noqa: S314 — our own


def refused(capsys: pytest.CaptureFixture[str], status: int, *arguments: object) -> str:
    assert run(["lab", "report", *map(str, arguments)]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


# The page


def test_the_page_is_well_formed_and_needs_no_network(said: Report) -> None:
    text = page(said)
    root = parsed(text)
    assert root.find("body/main") is not None
    assert not [each for each in root.iter() if {"src", "href"} & set(each.attrib)]
    assert "http" not in text
    assert "url(" not in text


def test_the_page_says_where_figures_are_from(said: Report) -> None:
    text = page(said)
    for each in (
        "A made-up processor, 2 cores",
        "23 November 2026",
        "engine v1, AVX-512, 2 threads",
        "commit abcdef123456",
        "cc324af070c2",
        "5,000 resamples",
        "Holm",
        "modelled",
        "gsm8k 12",
        "1 seed, 1 time each",
    ):
        assert each in text, each


def test_names_are_escaped(rows: list[Row]) -> None:
    odd = '<script>alert("1")</script>'
    text = page(report([replace(row, machine=odd, klass=odd if row.klass == "chat" else row.klass) for row in rows]))
    assert odd not in text
    assert escape(odd, quote=False) in text
    parsed(text)


def test_a_broken_promise_is_the_first_thing_on_the_page(rows: list[Row], said: Report) -> None:
    wrong = [replace(row, digest="other") if row.configuration == "Oe" else row for row in rows]
    text = page(report(wrong))
    body = text[text.index("<main>") :]
    assert body.index("Exact settings gave other tokens") < body.index("What can be said")
    assert 'class="alarm"' not in page(said)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"score": None, "measure": ""}, "no quality to set against time or energy"),
        ({"joules": None, "joules_source": "no meter"}, "Energy is unavailable: no meter."),
        ({"acceptance": None, "guessed": 0}, "What can be said"),
        ({"processor_s": None}, "processor time not known"),
        ({"tokens_per_s": None}, "All settings"),
        ({"started": ""}, "date not known"),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
def test_rows_without_something_still_make_a_page(rows: list[Row], change: dict[str, object], words: str) -> None:
    text = page(report([replace(row, **change) for row in rows]))
    parsed(text)
    assert words in text
    assert "nan" not in text[text.index("<main>") :].lower().replace("nanoseconds", "")


def test_sections_of_two_machines_are_told_apart(rows: list[Row]) -> None:
    text = page(report(rows + [replace(row, machine="Another processor") for row in rows]))
    assert "The rows are of 2 machines, which are kept apart" in text
    assert "1. A made-up processor, 2 cores" in text
    assert "2. Another processor" in text


# Plots


def test_every_mark_of_a_plot_has_a_look(said: Report) -> None:
    its = said.sections[0]
    known = set(MARKS) | {"end", "middle"}
    for name, svg in pictures(its).items():
        for each in parsed(svg).iter():
            assert set(each.attrib.get("class", "").split()) <= known, name
    assert {value for look in MARKS.values() for value in look.values() if str(value).startswith("--")} <= set(
        colours()
    )


def test_plots_stay_within_their_frame(said: Report) -> None:
    its = said.sections[0]
    for svg in pictures(its).values():
        root = parsed(svg)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        for each in root.iter():
            for name in ("x", "x1", "x2", "cx"):
                assert -1 <= float(each.attrib.get(name, 0)) <= width + 1
            for name in ("y", "y1", "y2", "cy"):
                assert -1 <= float(each.attrib.get(name, 0)) <= height + 1


def test_bars_are_as_long_as_their_figures(said: Report) -> None:
    its = said.sections[0]
    bars = [each for each in plots.class_bars(its.study, its.rate_by_class, "code") if each.startswith("<rect")]
    widths = [float(parsed(each).attrib["width"]) for each in bars]
    values = [each.value for each in its.rate_by_class if each.klass == "code"]
    assert [w / widths[0] for w in widths] == pytest.approx([v / values[0] for v in values], rel=0.01)


@given(st.lists(st.tuples(st.floats(60, 400), st.floats(40, 280)), min_size=1, max_size=9))
def test_labels_stay_in_the_frame_and_beside_points(places: list[tuple[float, float]]) -> None:
    points = [(x, y, f"-O{i}") for i, (x, y) in enumerate(places)]
    frame = (46.0, 20.0, 456.0, 298.0)
    labels = place(points, frame)
    boxes = [each.box for each in labels]
    for box in boxes:
        assert frame[0] <= box[0]
        assert box[2] <= frame[2]
    for i, one in enumerate(boxes):  # nine short names always find a place of their own
        for other in boxes[:i]:
            assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        x, y, _ = points[i]
        assert abs(one[0] - x) < 200
        assert not (one[0] < x - DOT and one[2] > x + DOT and one[1] < y - DOT and one[3] > y + DOT)


def test_pictures_are_png_of_the_plots_size(said: Report, tmp_path: Path) -> None:
    its = said.sections[0]
    svg = pictures(its)["time-quality"]
    write_png(tmp_path / "a.png", svg)
    data = (tmp_path / "a.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    _, _, width, height = map(float, parsed(svg).attrib["viewBox"].split())
    assert int.from_bytes(data[16:20]) == pytest.approx(2 * (width + 24), abs=2)
    assert int.from_bytes(data[20:24]) == pytest.approx(2 * (height + 24), abs=2)


def test_without_matplotlib_there_is_a_page_and_one_line(
    said: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [each for each in sys.modules if each.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    files, why = write(tmp_path / "out", said)
    assert [each.name for each in files] == ["report.html"]
    assert why == "pictures need matplotlib: pip install 'foretell[lab]'; the page has all plots"


# The command


def test_the_command_writes_page_and_pictures_and_says_what_it_found(
    rows: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    folder = save(tmp_path / "results", rows)
    assert run(["lab", "report", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "0 of 64 answers differ from -O0" in " ".join(out.split())
    assert "mix epsilon=0.2" in out
    assert max(map(len, out.splitlines()[3:-1])) <= 80
    names = {each.name for each in (folder / "report").iterdir()}
    assert {"report.html", "time-quality.png", "energy-quality.png", "classes.png", "acceptance.png"} <= names


def test_json_has_every_figure_in_one_line(rows: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save(tmp_path / "results", rows)
    out_folder = tmp_path / "elsewhere"
    assert run(["lab", "report", str(folder), "--out", str(out_folder), "--quality-budget", "0.1", "--json"]) == 0
    out, _ = capsys.readouterr()
    assert out.count("\n") == 1
    said = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    (section,) = said["sections"]
    assert section["reference"] == "-O0"
    assert section["baseline"] == "-O2"
    assert section["candidates"][0]["budget"] == 0.1
    assert set(section["overall"]["-O2"]) >= {"tokens_per_s", "response_s", "score", "acceptance"}
    assert Path(said["files"][0]).parent == out_folder


def test_status_1_when_exact_settings_gave_other_tokens(
    rows: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = [replace(row, digest="other") if row.configuration == "Oe" else row for row in rows]
    assert run(["lab", "report", str(save(tmp_path / "results", wrong))]) == 1
    assert "promise broken" in capsys.readouterr().out


def test_results_of_several_folders_are_taken_together(
    rows: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = save(tmp_path / "here", rows)
    there = save(tmp_path / "there", [replace(row, machine="Another processor") for row in rows])
    assert run(["lab", "report", str(here), str(there), "--out", str(tmp_path / "out"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {each["machine"] for each in said["sections"]} == {"Another processor", "A made-up processor, 2 cores"}
    assert (tmp_path / "out" / "2-classes.png").exists()


def test_what_cannot_be_read_is_refused(rows: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert "no rows.jsonl" in refused(capsys, 1, tmp_path / "empty")
    assert "nowhere" in refused(capsys, 1, tmp_path / "nowhere")
    folder = save(tmp_path / "broken", rows[:2])
    with (folder / "rows.jsonl").open("a", encoding="utf-8") as file:
        file.write("{broken\n")
    assert "line 3" in refused(capsys, 1, folder)
    nothing = save(tmp_path / "nothing", [])
    assert "there are no rows" in refused(capsys, 1, nothing)
    lacking = save(tmp_path / "lacking", [])
    line = {name: value for name, value in rows[0].to_json().items() if name != "response_s"}
    (lacking / "rows.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert "no response_s" in refused(capsys, 1, lacking)


def test_options_that_make_no_sense_are_refused(
    rows: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save(tmp_path / "results", rows)
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "is a file" in refused(capsys, 2, folder, "--out", tmp_path / "file")
    for text in ("much", "120%", "-1%"):
        assert "give a share below 100 %" in refused(capsys, 2, folder, f"--quality-budget={text}")
    assert "RESULTS" in refused(capsys, 2)
