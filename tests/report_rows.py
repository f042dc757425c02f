"""Rows of an experiment that nobody ran: figures follow from a seed, so that reports of them are always the same."""

import random
from collections.abc import Mapping
from typing import Any

from foretell.lab.experiment.rows import Row

# Configuration → (model, draft, origin, promise, level, times as fast as the target alone, points lost, acceptance).
BIG, SMALL = "qwen2.5-coder-1.5b", "qwen2.5-coder-0.5b"
SIDES: Mapping[str, tuple[str, str, str, Any, str, float, float, float]] = {
    "O0": (BIG, SMALL, "level", "exact", "O0", 1.0, 0.0, 0.0),
    "O1": (BIG, SMALL, "level", "exact", "O1", 1.5, 0.0, 0.45),
    "O2": (BIG, SMALL, "level", "exact", "O2", 1.8, 0.0, 0.55),
    "O3": (BIG, SMALL, "level", "exact", "O3", 1.81, 0.0, 0.56),
    "Oe": (BIG, SMALL, "level", "exact", "Oe", 1.75, 0.0, 0.6),
    "chain": (BIG, SMALL, "preset", "exact", "", 1.3, 0.0, 0.5),
    "mix epsilon=0.2": (BIG, SMALL, "file", "lossy", "", 1.9, 0.01, 0.62),
    "cascade alpha=0.3": (BIG, SMALL, "preset", "lossy", "", 2.3, 0.03, 0.7),
    "small alone": (SMALL, "", "level", "exact", "O0", 2.7, 0.2, 0.0),
}
CLASSES = {"prompts": ("chat", "code", "edit", "summary"), "gsm8k": ("gsm8k",), "humaneval": ("humaneval",)}
EASY = {"chat": 0.7, "code": 1.4, "edit": 1.9, "summary": 1.3, "gsm8k": 1.1, "humaneval": 1.5}


def make(
    prompts: int = 12,
    judged: int = 60,
    sides: Mapping[str, tuple[str, str, str, Any, str, float, float, float]] = SIDES,
    seed: int = 0,
    **changes: Any,
) -> list[Row]:
    """Rows of these sides. prompts: of a class without scores. judged: of a class with scores."""
    out = []
    for suite, classes in CLASSES.items():
        for klass in classes:
            scored = suite != "prompts"
            for number in range(judged if scored else prompts):
                hard = random.Random(f"{seed} {klass} {number}")
                tokens, difficulty = hard.randint(40, 120), hard.random()
                for name, its in sides.items():
                    out.append(_row(suite, klass, number, name, its, tokens, difficulty, scored, seed, changes))
    return out


def _row(
    suite: str,
    klass: str,
    number: int,
    name: str,
    its: tuple[str, str, str, Any, str, float, float, float],
    tokens: int,
    difficulty: float,
    scored: bool,
    seed: int,
    changes: Mapping[str, Any],
) -> Row:
    model, draft, origin, promise, level, fast, loss, acceptance = its
    chance = random.Random(f"{seed} {klass} {number} {name}")
    gain = 1 + (fast - 1) * EASY[klass] * chance.uniform(0.8, 1.2) if model == BIG else fast
    first_s = 0.4 * chance.uniform(0.95, 1.05) / (1 if model == BIG else 2.5)
    decode_s = tokens * 0.035 / max(0.9, gain) * chance.uniform(0.97, 1.03)
    rounds = int(tokens / (1 + 3 * acceptance)) + 1
    joules = 8.0 * decode_s + 6.0 * first_s
    fields: dict[str, Any] = {
        "plan": "made up",
        "suite": suite,
        "klass": klass,
        "id": f"{klass}-{number}",
        "model": model,
        "draft": draft,
        "configuration": name,
        "origin": origin,
        "promise": promise,
        "level": level,
        "pipeline": f"pipeline {name}",
        "max_tokens": 128,
        "temperature": 0.0,
        "seed": 0,
        "tokens": tokens,
        "digest": f"{model if promise == 'exact' else name} {klass} {number}",
        "finish": "stop",
        "first_token_s": first_s,
        "response_s": first_s + decode_s,
        "tokens_per_s": (tokens - 1) / decode_s,
        "rounds": rounds,
        "draft_passes": rounds * 2 if acceptance > 0.5 else 0,
        "guessed": int(rounds * 4 * (acceptance > 0)),
        "acceptance": min(0.95, acceptance * EASY[klass] ** 0.5) if acceptance else None,
        "processor_s": 1.9 * (first_s + decode_s),
        "joules": joules,
        "joules_low": 0.6 * joules,
        "joules_high": 1.5 * joules,
        "joules_kind": "modelled",
        "joules_source": "model of idle watts, processor seconds, bytes and multiply-adds",
        "score": float(difficulty > 0.3 + loss) if scored else None,
        "measure": "right" if scored else "",
        "machine": "A made-up processor, 2 cores",
        "version": "0.1.0",
        "commit": "abcdef123456",
        "engine": "engine v1, AVX-512, 2 threads",
        "model_digest": "cc324af070c2" if model == BIG else "1d9614638d18",
        "draft_digest": "1d9614638d18" if draft else "",
        "started": f"2026-11-23T09:{number % 60:02d}:00.000+00:00",
    }
    return Row(**(fields | changes))
