"""Plans of experiments: what they come to, that they are stored whole, and what is said of wrong ones."""

import json
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from foretell.errors import ForetellError, UsageError
from foretell.ir import presets
from foretell.lab.experiment import knobs
from foretell.lab.experiment.place import place
from foretell.lab.experiment.plan import Configuration, Models, Plan, Suite, show
from foretell.lab.experiment.questions import asked
from foretell.lab.experiment.read import Given, names, parse, plan, text
from foretell.lab.experiment.read import plan as read_plan
from foretell.lab.quality.fetch import located
from foretell.lab.quality.tasks import Task
from foretell.models.cache import Cache
from foretell.models.sources import quiet

GRID = """
about = "a grid"
target = "toy"
draft = "toy"
max_tokens = 9
seeds = [3, 4]

[models.other]
target = "toy"

[[run]]
levels = ["O0", "O2"]
models = ["pair", "other"]

[[run]]
preset = "cascade"
knobs = { alpha = [0.1, 0.2], width = 3 }
suites = ["a"]

[[run]]
name = "small alone"
models = "small"
level = "O0"

[[suite]]
name = "a"
prompts = "built-in"
classes = ["math", "code"]
temperature = 0.5

[[suite]]
task = "sums"
limit = 5
max_tokens = 20
"""


NOTHING = Given()


def parsed(written: str, given: Given = NOTHING) -> Plan:
    return parse(written, "mine.toml", "mine", Path(), given)


def local(task: Task, data: str) -> Path:
    return located(task, data, Cache(Path("/nowhere")), quiet)


def test_a_grid_comes_to_its_combinations() -> None:
    found = parsed(GRID)
    assert [each.name for each in found.configurations] == [
        "O0 (pair)",
        "O0 (other)",
        "O2 (pair)",
        "O2 (other)",
        "cascade alpha=0.1 width=3",
        "cascade alpha=0.2 width=3",
        "small alone",
    ]
    assert [each.name for each in found.models] == ["small", "pair", "other"]
    assert [(each.name, each.max_tokens, each.temperature) for each in found.suites] == [("a", 9, 0.5), ("sums", 20, 0)]
    cascade = found.configurations[4]
    assert cascade.pipeline == knobs.turned(presets.load("cascade"), {"alpha": 0.1, "width": 3})
    assert (cascade.origin, cascade.promise, cascade.suites) == ("preset", "lossy", ("a",))
    assert (found.seeds, found.repeats, found.minutes) == ((3, 4), 1, None)
    questions = asked(found, local).questions
    assert len(questions) == 2 * (2 + 5)
    assert {each.prompt.klass for each in questions} == {"math", "code", "sums"}
    assert all((each.item is not None) == (each.suite.name == "sums") for each in questions)


def test_what_a_person_gives_goes_before_the_plan(tmp_path: Path) -> None:
    file = tmp_path / "gsm8k" / "test.jsonl"
    file.parent.mkdir()
    file.write_text("")
    given = Given("toy", "", limit=1, max_tokens=4, seeds=(7,), repeats=2, minutes=3.0, data=str(tmp_path))
    found = parsed(
        '[[run]]\nlevel = "O1"\n[[suite]]\ntask = "gsm8k"\nmax_tokens = 100\nlimit = 9\n[[suite]]\ntask = "mbpp"', given
    )
    assert found.models == (Models("pair", "toy"),)
    assert found.suites == (
        Suite("gsm8k", "task", "gsm8k", 4, 0.0, str(file), limit=1),
        Suite("mbpp", "task", "mbpp", 4, 0.0, "official", limit=1),  # which is not in that folder
    )
    assert (found.seeds, found.repeats, found.minutes) == ((7,), 2, 3.0)


def test_some_suites_only() -> None:
    found = parsed(GRID, Given(suites=("sums",)))
    assert [each.name for each in found.suites] == ["sums"]
    assert [each.name for each in found.configurations][-2:] == ["O2 (other)", "small alone"]
    assert parsed(GRID, Given(suites=("a",))).configurations[4].suites == ("a",)
    with pytest.raises(UsageError, match="no suite 'sum'; 'sums' is meant"):
        parsed(GRID, Given(suites=("sum",)))


@pytest.mark.parametrize("name", names())
def test_plans_that_come_with_foretell(name: str) -> None:
    found = plan(name)
    assert found.name == name
    assert found.about
    assert {each.target for each in found.models} <= {"qwen2.5-coder-1.5b", "qwen2.5-coder-0.5b"}
    assert parse(show(found), "stored", "", Path()) == found
    assert text(name).startswith("# ")


def test_the_quick_plan_has_every_level_and_is_short() -> None:
    found = plan("quick")
    assert [each.level for each in found.configurations] == ["O0", "O1", "O2", "O3", "Oe", "O0", ""]
    assert [each.promise for each in found.configurations] == ["exact"] * 6 + ["lossy"]
    assert found.minutes is not None
    assert found.minutes < 15
    questions = asked(found, local).questions  # without anything fetched
    # Tokens of the target alone at 36 ms, and of six others at half of that: below the plan's own limit.
    assert sum(each.suite.max_tokens for each in questions) * 0.036 * (1 + 6 / 2) < 60 * found.minutes


def test_the_word_problems_have_the_answers_that_their_calculations_give() -> None:
    lines = (Path(knobs.__file__).parents[1] / "quality" / "sums.jsonl").read_text().splitlines()
    assert len(lines) >= 30
    for each in map(json.loads, lines):
        calculation, _, answer = each["answer"].partition("\n#### ")
        assert eval(calculation) == int(answer), each["question"]  # noqa: S307 — a file of ours


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
NUMBERS = st.floats(0, 0.9) | st.integers(0, 9)


@given(TEXTS, TEXTS, TEXTS, st.lists(st.integers(0, 99), min_size=1, unique=True), NUMBERS, st.integers(1, 9))
def test_a_stored_plan_is_read_back_as_it_was(
    name: str, suite: str, klass: str, seeds: list[int], temperature: float, repeats: int
) -> None:
    pipeline = knobs.turned(presets.load("route"), {"threshold": 0.25})
    made = Plan(
        name,
        (Models("small", "toy"), Models("pair", "toy", "toy"), Models(name, "toy", "toy")),
        (
            Configuration("O2", "pair", "O2", suites=(suite,)),
            Configuration(klass + "!", name, pipeline=pipeline, preset="route", knobs={"threshold": 0.25}),
            Configuration("small alone", "small", "O0"),
            Configuration("budget 0.05", "pair", budget=0.05),
        ),
        (
            Suite(suite, "prompts", "built-in", 7, float(temperature), classes=(klass,), limit=2, digest="00ff"),
            Suite(suite + "!", "task", "sums", 8, 0.0, "official"),
        ),
        tuple(seeds),
        repeats,
        12.5,
        klass,
    )
    assume(name not in ("small", "pair"))
    assert parse(show(made), "stored", "", Path()) == made


HEAD = 'target = "toy"\ndraft = "toy"\n'
RUN = '[[run]]\nlevel = "O0"\n'
SUITE = '[[suite]]\nprompts = "built-in"\n'
ROUTE = "[[run]]\npipeline = '''\npipeline x\n  v = verify()\n  a = accept(v, rule=coupeld)\n  commit(a)\n'''\n"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("a = ", r"Invalid value \(at end of document\)"),
        (HEAD + RUN + SUITE + "limits = 3", "line 7, column 1: there is no key 'limits' here; 'limit' is meant"),
        ("taget = 'toy'\n" + RUN + SUITE, "line 1, column 1: there is no key 'taget' here; 'target' is meant"),
        (HEAD + '[[run]]\n  levels = ["O1",\n "O22"]\n' + SUITE, "line 5, column 2: there is no level 'O22'; 'O2' is"),
        (HEAD + RUN + RUN + SUITE, "come to the name 'O0'"),
        (HEAD + SUITE, "no \\[\\[run\\]\\]"),
        (HEAD + RUN, "no \\[\\[suite\\]\\]"),
        (HEAD + "[[run]]\n" + SUITE, "line 3, column 1: a run has levels, presets"),
        (HEAD + RUN + "[[suite]]\nname = 'x'\n", "line 5, column 1: a suite has one of prompts, file, task"),
        (HEAD + RUN + "[[suite]]\ntask = 'gsm9k'\n", "line 6, column 1: there is no task 'gsm9k'; 'gsm8k' is"),
        (HEAD + RUN + "[[suite]]\nprompts = 'x'\n", "there is no set of prompts 'x'"),
        ('target = "qwen2.5-coder-15b"\n' + RUN + SUITE, "line 1, column 10: there is no model .*1.5b' is"),
        (HEAD + '[models.m]\ntarget = "toyy"\n' + RUN + SUITE, "line 4, column 10: there is no model 'toyy'; 'toy' is"),
        (HEAD + "[models.m]\ndraft = 'toy'\n" + RUN + SUITE, "models m have no target"),
        (HEAD + '[[run]]\nlevel = "O0"\nmodels = "piar"\n' + SUITE, "line 5, column 10: .*'pair' is meant"),
        ('target = "toy"\n[[run]]\nlevel = "O0"\nmodels = "small"\n' + SUITE, "no draft model that could run alone"),
        ('target = "toy"\n[[run]]\npreset = "chain"\n' + SUITE, "asks a draft model, and the models pair have none"),
        (HEAD + '[[run]]\npreset = "chian"\n' + SUITE, "line 4, column 10: there is no preset 'chian'; 'chain' is"),
        (HEAD + '[[run]]\npreset = "constrained"\n' + SUITE, "needs a grammar"),
        (HEAD + '[[run]]\npreset = "mine"\npipeline = "x"\n' + SUITE, "line 5, column 1: pipeline, line 1, column 1"),
        (HEAD + ROUTE + SUITE, "'coupeld'"),
        (HEAD + '[[run]]\nfile = "no.pipeline"\n' + SUITE, "line 4, column 1: cannot read the pipeline no.pipeline"),
        (HEAD + '[[run]]\nlevel = "O0"\nknobs.alpha = 1\n' + SUITE, "O0 has no knobs"),
        (HEAD + '[[run]]\npreset = "cascade"\nknobs = { alhpa = 0.1 }\n' + SUITE, "no knob 'alhpa'; 'alpha' is meant"),
        (HEAD + '[[run]]\npreset = "cascade"\nknobs = { alpha = true }\n' + SUITE, "line 5, column 11: the knob al"),
        (HEAD + '[[run]]\npreset = "cascade"\nknobs = { epsilon = 1 }\n' + SUITE, "no statement with a epsilon"),
        (HEAD + '[[run]]\npreset = "cascade"\nknobs = { alpha = 7 }\n' + SUITE, "alpha"),
        (HEAD + '[[run]]\npreset = "cascade"\nknobs = { width = 2.5 }\n' + SUITE, "the knob width is 2.5"),
        (HEAD + "[[run]]\nbudgets = [0.1, 1.5]\n" + SUITE, "line 4, column 17: budgets is 1.5; exp"),
        ('target = "toy"\n[[run]]\nbudget = 0.1\n' + SUITE, "a budget needs a small model"),
        (HEAD + "seeds = [-1]\n" + RUN + SUITE, "line 3, column 1: seeds is .*expected whole numbers"),
        (HEAD + "repeats = 0\n" + RUN + SUITE, "repeats is 0; expected a whole number of 1 or more"),
        (HEAD + "minutes = 'x'\n" + RUN + SUITE, "minutes is 'x'; expected a number"),
        (HEAD + "about = 1\n" + RUN + SUITE, "about is 1; expected a text"),
        (HEAD + "run = 1\n" + SUITE, "run is 1; expected tables"),
        (HEAD + "models = 1\n" + RUN + SUITE, "models is 1; expected a table"),
        (HEAD + RUN + "suites = ['y']\n" + SUITE, "there is no suite 'y'"),
        (HEAD + RUN + SUITE + "data = 'x'\n", "data is for tasks"),
        (HEAD + "[[run]]\nfile = 3\n" + SUITE, "file is 3; expected a text"),
        (HEAD + "[[run]]\nlevels = 3\n" + SUITE, "levels is 3; expected a list of texts"),
        (HEAD + "temperature = 0.5\n" + ROUTE.replace("coupeld", "greedy") + SUITE, "x on built-in: .*temperature"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(written: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parsed(written)
    assert str(caught.value).startswith("mine.toml")


def test_plans_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no plan 'qick'; 'quick' is meant"):
        read_plan("qick")
    with pytest.raises(UsageError, match="cannot read the plan"):
        read_plan(str(tmp_path / "x.toml"))


def test_suites_whose_questions_are_wrong(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    line = '{"klass": "a", "id": 1, "prompt": "x"}\n'
    file.write_text(line * 2)
    written = f'{HEAD}{RUN}[[suite]]\nfile = "{file}"\n'
    with pytest.raises(ForetellError, match="2 prompts of the class a with the id 1"):
        asked(parsed(written), local)
    file.write_text(line)
    stored = show(asked(parsed(written), local).plan)
    assert asked(parsed(stored), local).plan.suites[0].name == "s"
    file.write_text(line.replace('"x"', '"y"'))
    with pytest.raises(UsageError, match="have changed since this plan was stored"):
        asked(parsed(stored), local)
    file.write_text('{"klass": "a", "id": 1}\n')
    with pytest.raises(ForetellError, match="line 1: 'prompt'"):
        asked(parsed(written), local)
    with pytest.raises(UsageError, match="no class 'maths'; 'math' is meant"):
        asked(parsed(HEAD + RUN + SUITE + 'classes = ["maths"]'), local)


def test_places_in_inline_tables_and_behind_long_texts() -> None:
    written = "x = '''\ny = 1\n[z]\n'''\n[a.b]\n  y = { c = 1, d = [1, 22] }\n"
    assert place(written, ("x",)) == (1, 1)
    assert place(written, ("a", "b", "y")) == (6, 3)
    assert place(written, ("a", "b", "y", "d"), "22") == (6, 24)
    assert place(written, ("a", "b")) == (5, 1)
    assert place(written, ("nothing",)) is None
    assert place("a = ['1']\nb = \"1\"", ("a",), '"1"') == (1, 1)  # not that of another key
