"""What /metrics says, read by Prometheus' own parser."""

import re
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from foretell.profile.energy.counter import PassCounter
from foretell.runtime import bill
from serving import HELLO, Running, serving

DOCUMENT = Path(__file__).parents[1] / "docs" / "serve.md"
Samples = dict[tuple[str, tuple[str, ...]], float]


def samples(running: Running) -> Samples:
    with urllib.request.urlopen(f"{running.url}/metrics", timeout=20) as response:  # noqa: S310 — of this test's server
        assert response.headers["content-type"].startswith("text/plain")
        text = response.read().decode()
    families = list(text_string_to_metric_families(text))
    assert all(each.name.startswith("foretell_") and each.documentation for each in families)
    return {
        (each.name, tuple(each.labels.values())): each.value
        for family in families
        for each in family.samples
        if not each.name.endswith("_created")
    }


def test_counts_are_those_of_the_answers() -> None:
    echo = [{"role": "user", "content": "one two one two one two"}]
    with serving() as running:
        usages, figures = [], []
        for messages in (echo, HELLO, echo):
            status, body, _ = running.ask(messages=messages, max_tokens=40)
            assert status == 200
            usages.append(body["usage"])
            figures.append(body["foretell"])
        assert running.ask(model="other")[0] == 404
        running.post("/v1/nothing", b"", method="GET")
        found = samples(running)
    assert found["foretell_requests_total", ("/v1/chat/completions", "200")] == 3
    assert found["foretell_requests_total", ("/v1/chat/completions", "404")] == 1
    assert found["foretell_requests_total", ("other", "404")] == 1
    reused = sum(each["prompt_tokens_details"]["cached_tokens"] for each in usages)
    assert reused > 0
    assert found["foretell_prompt_tokens_total", ("reused",)] == reused
    assert found["foretell_prompt_tokens_total", ("read",)] == sum(each["prompt_tokens"] for each in usages) - reused
    for source in ("target", "lookup"):
        told = sum(each["sources"].get(source, 0) for each in figures)
        assert found["foretell_generated_tokens_total", (source,)] == told
    details = [each["completion_tokens_details"] for each in usages]
    accepted = sum(each["accepted_prediction_tokens"] for each in details)
    rejected = sum(each["rejected_prediction_tokens"] for each in details)
    assert found["foretell_guessed_tokens_total", ("lookup",)] == accepted + rejected
    assert found["foretell_accepted_tokens_total", ("lookup",)] == pytest.approx(accepted, abs=len(usages))
    rounds = sum(each["rounds"] for each in figures)
    assert found["foretell_rounds_total", ()] == found["foretell_rows_count", ()] == rounds
    assert found["foretell_changes_total", ("on",)] > 0
    assert 0 < found["foretell_free_rows_used_total", ()] <= found["foretell_free_rows_total", ()]
    spent = {labels[0]: value for (name, labels), value in found.items() if name == "foretell_ledger_seconds_total"}
    assert set(spent) == {"prompt", "draft", "propose", "verify", "accept", "other"}
    assert spent["verify"] > 0
    assert found["foretell_queue_length", ()] == found["foretell_running", ()] == 0
    assert found["foretell_contexts", ()] == 3
    assert found["foretell_response_seconds_count", ()] == 3
    documented = set(re.findall(r"`(foretell_\w+)", DOCUMENT.read_text(encoding="utf-8")))
    told = {re.sub(r"_(bucket|count|sum)$", "", name) for name, _ in found}
    assert documented == told


def test_joules_are_counted_by_who_says_so_and_clients_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """In `usage`, streamed or not, where OpenAI's own client keeps fields that it does not know."""
    monkeypatch.setattr(bill, "counter", lambda _: PassCounter(10**9, 10**8, 10**4, 1000, 10**9, 10**8, 10**5))
    with serving() as running:
        client = running.client()
        whole = client.chat.completions.create(model="toy", messages=HELLO, max_tokens=5)  # type: ignore[arg-type]
        stream = client.chat.completions.create(
            model="toy",
            messages=HELLO,  # type: ignore[arg-type]
            max_tokens=5,
            stream=True,
            stream_options={"include_usage": True},
        )
        *_, last = stream
        found = samples(running)
    said = [each.usage.model_extra["energy"] for each in (whole, last)]
    assert all(each["low"] < each["value"] < each["high"] for each in said)
    assert {name: labels for (name, labels) in found if name == "foretell_joules_total"} == {
        "foretell_joules_total": ("modelled",)
    }
    assert found["foretell_joules_total", ("modelled",)] == pytest.approx(sum(each["value"] for each in said))
    assert found["foretell_processor_seconds_total", ()] > 0
