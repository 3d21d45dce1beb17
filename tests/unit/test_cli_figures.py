"""What `relogit verify --full` prints of figures on demand. UPDATE_SNAPSHOTS=1 rewrites the snapshot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from rich.table import Table

from app.domain.checks import Metrics, Result, ResultReport
from app.domain.seeds import summarise_seeds
from app.domain.standards import Standards
from relogit.render.ensembles import ensemble_lines, seed_lines
from relogit.render.figures import further_lines
from tests.unit.command_line import Relogit
from tests.unit.fake_server import VERIFICATION_ID, FakeServer, entry, judged, result, statistics
from tests.unit.metric_inputs import Case, drawn
from tests.unit.snapshots import Transcript
from tests.unit.test_cli_window import printed, window
from worker.analyses.ensemble import ExpertLogits, analyse_ensemble
from worker.analyses.result import analyse_result
from worker.verify.ground_truth import Truth
from worker.verify.scale import scale_of

Record = dict[str, Any]
COUNTS = np.array([500, 120, 40, 21, 20, 5])


def _truth(case: Case, counts: np.ndarray | None = COUNTS) -> Truth:
    reason = None if counts is not None else "There are no train counts."
    rows = np.arange(len(case.labels))
    return Truth(case.labels, case.classes, "test", rows, counts, None, reason, "No class weights.", Standards())


def _figures(case: Case, truth: Truth) -> Record:
    """An answer to `part=statistics`, with intervals that are the same whatever draws resamples."""
    scale = scale_of(case.logits)
    answer = analyse_result(case.logits, case.scores, truth, scale)
    json.dumps(answer, allow_nan=False)  # as the store keeps it
    return answer | {"intervals": statistics()["intervals"]}


def _judged(*names: str) -> FakeServer:
    """A verification that has ended and passed."""
    server = judged("passed", *(result(name, "val", verdict="passed") for name in names))
    server.verifications = server.verifications[-1:]
    return server


def _served(names: tuple[str, str]) -> FakeServer:
    """A verification of two experts over the same rows, with all its analyses."""
    first, second = drawn(1, 200, 6), drawn(1, 200, 6, strength=1.0)
    server = _judged(*names)
    absent = Case(second.probabilities, np.where(second.labels == 2, 1, second.labels))
    answers = [_figures(first, _truth(first)), _figures(absent, _truth(absent))]
    server.analyses["statistics"] = [entry(answer, expert=name) for name, answer in zip(names, answers, strict=True)]
    experts = [
        ExpertLogits(name, case.logits, "logits", case.predictions)
        for name, case in zip(names, (first, second), strict=True)
    ]
    ensemble = analyse_ensemble(experts, _truth(first)).to_dict()
    server.analyses["ensemble"] = [
        entry(ensemble, expert="", experts=names),
        entry(None, "failed", "", "test", error={"message": "test_logits.npz was changed."}),
        entry(None, "none", "", "tunev"),
    ]
    runs = [
        Result(
            f"ce_seed{seed}", "val", ResultReport("passed", (), Metrics({"accuracy": value, "tail_accuracy": 0.25}))
        )
        for seed, value in enumerate((0.41, 0.44, 0.4))
    ]
    server.analyses["seeds"] = [
        entry(item.to_dict(), expert=item.name, experts=item.experts) for item in summarise_seeds(runs)
    ]
    return server


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_figures_by_group_of_ensembles_and_over_seeds(transcript: Transcript, folder: Path) -> None:
    """Each result has its own tables, each split its ensemble, each family its mean; what lacks has a reason."""
    transcript.run(
        "All experts", _served(("ce_baseline", "logitadjust_baseline")), "verify", VERIFICATION_ID, "--full"
    )
    server = _served(("ce", "la"))
    bare = drawn(1, 40, 6)
    server.analyses["statistics"] = [entry(_figures(bare, _truth(bare, None)), expert="ce")]
    transcript.run("No train counts", server, "verify", VERIFICATION_ID, "--full")
    transcript.check("figures")


def test_tables_fit_80_columns() -> None:
    """Names of usual length are not cut, and every number keeps its place."""
    server = _served(("balsoftmax_baseline", "logitadjust_baseline"))
    first, second = (item["analysis"] for item in server.analyses["statistics"])
    results = {part: {"results": server.analyses[part]} for part in ("ensemble", "seeds")}
    views = (
        further_lines(first),
        further_lines(second),
        ensemble_lines(results["ensemble"]),
        seed_lines(results["seeds"]),
    )
    lines = printed(window(), *(line for view in views for line in view if isinstance(line, Table)))
    assert len(lines) > 30
    assert max(map(len, lines)) <= 80
    assert any("logitadjust_baseline" in line for line in lines)


def test_json_has_all_parts(relogit: Relogit, folder: Path) -> None:
    """The ensembles and seeds stand beside the results, as the server sent them."""
    server = _served(("ce", "la"))
    found = json.loads(relogit(server, "verify", VERIFICATION_ID, "--full", "--json").out)
    assert found["ensembles"] == json.loads(json.dumps(server.analyses["ensemble"]))
    assert found["seeds"] == json.loads(json.dumps(server.analyses["seeds"]))
    first = found["results"][0]["analysis"]["statistics"]
    assert {"calibration", "scores", "shifted_priors", "confusion"} <= first.keys()


def test_a_server_of_an_older_version_has_no_such_parts(relogit: Relogit, folder: Path) -> None:
    """Its statistics are shown as before, and what it refuses is left out."""
    server = _judged("ce")
    server.analyses["statistics"] = [entry(statistics())]
    answered = server.answers
    asked: list[str] = []

    def analysis() -> httpx.Response:
        part = server.requests[-1].url.params["part"]
        asked.append(part)
        if part in ("ensemble", "seeds"):
            return httpx.Response(422, json={"code": "invalid-value", "detail": "unknown part", "status": 422})
        return httpx.Response(200, json={"complete": True, "results": server.analyses[part]})

    answered[f"GET /jobs/{VERIFICATION_ID}/analysis"] = analysis
    ran = relogit(server, "verify", VERIFICATION_ID, "--full")
    assert ran.code == 0
    assert "AURC balanced" in ran.out
    assert {"ensemble", "seeds"} <= set(asked)
