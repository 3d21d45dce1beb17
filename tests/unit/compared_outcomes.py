"""Outcomes of comparisons, made small, and jobs that hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx

from app.api.comparison_schemas import ComparisonView
from app.domain.checks import JobReport
from app.domain.combine_requests import InputFile, InputList, LogitsInput
from app.domain.compare_requests import ComparedSide, ComparisonRequest
from app.domain.comparisons import (
    Cause,
    ClassRecall,
    ComparisonOutcome,
    Flip,
    FlipGroup,
    LogitGap,
    McNemar,
    PairComparison,
    PairedFigure,
    Pairing,
    SkippedPair,
)
from app.domain.evaluations import Difference
from app.domain.jobs import Job, JobState
from tests.unit.fake_server import FakeServer, answering
from tests.unit.fake_server import job as fake_job

COMPARISON_ID = "0008abcd"
JOB, OTHER = "1" * 32, "2" * 32
COUNTS = (60, 30, 3)
"""Train samples of three classes, of which the last is the tail."""


def side(label: str, job: str = JOB, doubts: tuple[str, ...] = ()) -> ComparedSide:
    expert = label.split(":")[-1]
    files = tuple(InputFile(expert, split, "b" * 64) for split in ("val", "test"))
    lists = tuple(InputList(split, "test", "a" * 64, 1000) for split in ("val", "test"))
    return ComparedSide(label, expert, "digits", "digits_splits", LogitsInput(job, files), lists, {}, doubts)


def request(*sides: ComparedSide, **more: Any) -> ComparisonRequest:
    sides = sides or (side("ce"), side("bal"))
    labels = [item.label for item in sides]
    pairs = tuple((a, b) for place, a in enumerate(labels) for b in labels[place + 1 :])
    parts: dict[str, Any] = {"splits": ("test",), "identity": "d" * 64}
    return ComparisonRequest("digits", "digits_splits", "ce-bal", "comparisons", sides, pairs, **(parts | more))


def figures(values: Mapping[str, tuple[float, float, float, float] | None] | None = None) -> tuple[PairedFigure, ...]:
    """A, difference and its interval by name; `ece` is missing unless it is given."""
    known: dict[str, tuple[float, float, float, float] | None] = {
        "accuracy": (0.39, 0.0243, 0.001, 0.048),
        "balanced_accuracy": (0.35, 0.062, 0.035, 0.09),
        "head_accuracy": (0.6, -0.025, -0.06, 0.01),
        "tail_accuracy": (0.1, 0.15, 0.11, 0.19),
        "nll": (2.6, -0.31, -0.4, -0.22),
        "ece": (0.357, -0.2, -0.21, -0.19),
        "aurc": (0.4, 0.01, 0.002, 0.018),
    }
    return tuple(
        PairedFigure(name, None, None, None)
        if value is None
        else PairedFigure(name, value[0], value[0] + value[1], Difference(value[1], value[2], value[3]))
        for name, value in (known | dict(values or {})).items()
    )


def flip(sample: int, picture: str | None = None) -> Flip:
    return Flip(sample - 100, sample, 2, 0, 2, 0.9, 0.75, 2.5, 1.25, picture)


def pair(a: str = "ce", b: str = "bal", split: str = "test", **more: Any) -> PairComparison:
    """B is better in the tail; 1,000 rows of which 200 flip."""
    parts: dict[str, Any] = {
        "base": "test",
        "pairing": Pairing("order", 1000, 900, 0, 0),
        "mcnemar": McNemar(300, 41, 65, 494, 0.0246, 0.0246, 1),
        "figures": figures(),
        "logits": LogitGap(18.25, 1.75, 3.5),
        "flips": (
            FlipGroup("all", 1000, 200, 65, 41, 0.5, 0.4, 2.25),
            FlipGroup("head", 700, 90, 10, 30, 0.6, 0.5, 1.5),
            FlipGroup("tail", 300, 110, 55, 11, 0.4, 0.3, 2.25),
        ),
        "classes": (
            ClassRecall(0, COUNTS[0], 400, 0.75, 0.7, -0.05),
            ClassRecall(1, COUNTS[1], 300, 0.5, 0.5, 0.0),
            ClassRecall(2, COUNTS[2], 300, 0.1, 0.25, 0.15),
        ),
        "largest_flips": (flip(107, "test/107"), flip(203)),
        "cause": Cause("other-weights", "The checkpoints hold other weights.", None, "manifests"),
    }
    return PairComparison(split, a, b, **(parts | more))


def same(
    a: str = "ce", b: str = "old:ce", kind: Any = "precision", split: str = "test", **more: Any
) -> PairComparison:
    """Two sides without a flip."""
    parts: dict[str, Any] = {
        "mcnemar": McNemar(390, 0, 0, 610, 1.0, 1.0, 1),
        "figures": figures(dict.fromkeys(("accuracy", "balanced_accuracy", "nll", "ece"), (0.39, 0.0, 0.0, 0.0))),
        "logits": LogitGap(5.7e-5, 4e-6, 3.5),
        "flips": (FlipGroup("all", 1000, 0, 0, 0, None, None, None),),
        "largest_flips": (),
        "cause": Cause(kind, "The logits differ by rounding alone, at most 5.7e-05.", None, "numbers"),
    }
    return pair(a, b, **(parts | more))


def outcome(*pairs: PairComparison, **more: Any) -> ComparisonOutcome:
    parts: dict[str, Any] = {
        "skipped": (),
        "group_names": ("head", "tail"),
        "resamples": 1000,
        "level": 0.95,
        "seed": 0,
        "versions": {"relogit": "0.1.0"},
        "files": {"comparisons/ce-bal/pairs.csv": "e" * 64},
    }
    return ComparisonOutcome(pairs or (pair(),), **(parts | more))


def holm(compared: PairComparison, p: float, pairs: int = 3) -> PairComparison:
    """The same pair among several."""
    return replace(compared, mcnemar=replace(compared.mcnemar, p_holm=p, pairs=pairs))


SKIPPED = SkippedPair("val", "ce", "adj", "The file of adj is gone. Verify it again.")


def job(
    asked: ComparisonRequest | None = None,
    result: ComparisonOutcome | None = None,
    state: JobState = JobState.SUCCEEDED,
    **more: Any,
) -> Job:
    times = (1795379812.252, 1795379812.271, 1795379813.564)
    return Job(COMPARISON_ID, state, asked or request(), (), *times, outcome=result, **more)


def report(result: ComparisonOutcome) -> JobReport:
    """The report that a worker records with an outcome."""
    return JobReport("passed", result.checks)


def view(
    asked: ComparisonRequest | None = None, result: ComparisonOutcome | None = None, state: str = "succeeded"
) -> dict[str, Any]:
    """The JSON of `GET /comparisons/{id}`, with a result unless it has not succeeded."""
    known = None if state != "succeeded" else result or outcome()
    shown: dict[str, Any] = json.loads(ComparisonView.of(job(asked, known, JobState(state))).model_dump_json())
    return shown


def comparing(data: dict[str, Any]) -> FakeServer:
    """A server that has that comparison and the recompute jobs of its sides, and accepts it."""
    asked = {"dataset": "digits_lt", "splits_dir": "own_splits"}
    shown = {name: data[name] for name in fake_job() if name in data} | {"units": []}
    answers: dict[str, object] = {
        "POST_comparisons": data,
        "GET_comparisons": {"comparisons": [data]},
        f"GET_comparisons__{data['id']}": data,
        f"GET_jobs__{data['id']}": shown,
        f"POST_jobs__{data['id']}__cancel": shown,
    }
    table = {"name": "pairs-test", "title": "Pairs, test", "files": []}
    listing = {"complete": True, "figures": [], "tables": [table]}
    answers[f"GET_jobs__{data['id']}__report__files"] = listing
    for form in ("tex", "md"):
        text = httpx.Response(200, text=f"the table as {form}\n")
        answers[f"GET_jobs__{data['id']}__report__tables__pairs-test.{form}"] = text
    jobs = {f"GET_jobs__{job_id}": fake_job(id=job_id, request=asked) for job_id in (JOB, OTHER)}
    return answering(**answers, **jobs)
