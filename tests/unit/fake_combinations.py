"""Answers of the fake server: gatings, rejectors and evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.unit.fake_server import FakeServer, answering, job, unit

Record = dict[str, Any]

GATING_ID = "0004abcd"
REJECTOR_ID = "0005abcd"
EVALUATION_ID = "0006abcd"
EXPERTS = ("ce_baseline", "logitadjust_baseline", "balsoftmax_baseline")
GROUPS = ("head", "tail")
REFERENCE = "uniform + msp"
WARNING = {
    "id": "effective-rows", "level": "warning", "verdict": "failed", "measured": {"rows": 60, "effective": 60.0},
    "expected": {"effective": 300.0}, "message": "The 60 rows of 'tunev' are few.", "evidence": [],
}  # fmt: skip


def part(split: str, rows: int = 1000, effective: float | None = None) -> Record:
    """The rows that took one part."""
    listed = {"split": split, "base": "test", "sha256": "ab", "rows": rows}
    return {"list": listed, "effective_rows": rows if effective is None else effective}


def candidate(method: str, nll: float, parameters: Record, interval: Sequence[float] | None = None) -> Record:
    """A fitted method with its figures on the rows of `validate`."""
    groups = dict(zip(GROUPS, (0.75, 0.25), strict=True))
    figures = {"nll": nll, "accuracy": 0.5, "balanced_accuracy": 0.4875, "group_accuracy": groups}
    ends = None if interval is None else list(interval)
    return {"method": method, "parameters": parameters, "fit_nll": nll, "validate": figures, "nll_difference": ends}


def candidates() -> list[Record]:
    """All methods of `pretrain`; the log-linear one has the lowest NLL."""
    mixture = {"weights": [0.25, 0.25, 0.5], "temperatures": [1.0, 2.0, 0.5]}
    pool = {"exponents": [0.2, 0.18, 0.21], "prior_exponent": -0.62}
    net = {
        "temperatures": [1.0, 2.0, 0.5],
        "feature_means": [],
        "feature_scales": [],
        "tensors": "AA",
        "best_epoch": 7,
    }
    return [
        candidate("uniform", 2.641, {"weights": [1 / 3] * 3, "temperatures": [1.0] * 3}, (0.5, 0.75)),
        candidate("linear", 2.5, mixture, (0.25, 0.5)),
        candidate("log-linear", 1.989, pool),
        candidate("net", 2.0, net, (-0.01, 0.03)),
    ]


def rules(score: str = "group", objective: str = "worst", u: Sequence[float] = (1.0, 0.25)) -> Record:
    """Rules for two coverages, over two groups."""
    fitted = [
        {
            "coverage": coverage, "threshold": -0.5, "u": list(u), "v": list(u), "fitted_coverage": coverage,
            "objective": 0.25 if score == "group" else None, "group_errors": [0.125, 0.25],
            "group_acceptance": [coverage, coverage / 2],
        }
        for coverage in (0.5, 1.0)
    ]  # fmt: skip
    return {"score": score, "objective": objective, "min_group_coverage": 0.0, "rules": fitted}


def gating_result(**fields: Any) -> Record:
    """What a gating results in."""
    base = {
        "method": "log-linear", "chosen": "lowest", "candidates": candidates(), "experts": list(EXPERTS),
        "groups": {"head": [0, 1], "tail": [2]}, "train_counts": [50, 30, 5], "prior": "listed", "seed": 42,
        "fit": part("tunev"), "validate": part("val"), "inputs": [], "divided_by": {}, "versions": {}, "rules": None,
        "checks": [],
    }  # fmt: skip
    return {**base, **fields}


def report_of(job_id: str) -> Record:
    """The links of a job, as far as the command line follows them."""
    return {"report": f"/jobs/{job_id}/report"}


def gating(state: str = "succeeded", result: Record | None = None, **fields: Any) -> Record:
    """A gating of one split."""
    request: Record = {
        "dataset": "digits_lt", "splits_dir": "s", "experts": list(EXPERTS), "splits": ["val"], "fit": "tunev",
        "validate": "val", "mode": "pretrain", "name": "pretrained", "output_dir": "gating", "prior": "listed",
        "logits": {"job": "0001abcd", "files": [], "path": None, "upload": None}, "lists": [], "method": None,
        "coverages": [0.5, 1.0], "identity": "ab", "counts_sha256": "ab", "divided_by": {},
    }  # fmt: skip
    units = [unit(expert="pretrained", state=state if state in ("queued", "running", "failed") else "succeeded")]
    result = result or (gating_result() if state == "succeeded" else None)
    view = job(state, id=GATING_ID, kind="gating", request=request, links=report_of(GATING_ID), units=units)
    return {**view, "result": result, **fields}


def rejector(state: str = "succeeded", result: Record | None = None, **fields: Any) -> Record:
    """A rejector over that gating."""
    request = {
        "dataset": "digits_lt", "name": "group-worst", "gating": GATING_ID, "score": "group", "objective": "worst",
        "coverages": [0.5, 1.0], "min_group_coverage": 0.0, "identity": "ab",
    }  # fmt: skip
    fitted = {
        "method": "log-linear", "rules": rules(), "group_names": list(GROUPS), "rows": 2000, "effective_rows": 2000.0,
        "gating_identity": "ab", "versions": {}, "checks": [],
    }  # fmt: skip
    view = job(state, id=REJECTOR_ID, kind="rejector", request=request, links=report_of(REJECTOR_ID), units=[])
    view["result"] = result or (fitted if state == "succeeded" else None)
    return {**view, **fields}


FIGURES = ("accuracy", "balanced_accuracy", "nll", "ece", "aurc_grid", "balanced_aurc_grid", "worst_aurc_grid")


def method(name: str, value: float, difference: float = 0.0, groups: Sequence[str] = GROUPS) -> Record:
    """A method, all of whose figures are `value`, with intervals of ±0.1 and differences of ±0.05."""
    names = [*FIGURES, *(f"{group}_accuracy" for group in groups)]
    ruled = "+ group" in name
    figures = {key: None if ruled and key in ("nll", "ece") else value for key in names}
    intervals = {key: None if figures[key] is None else [value - 0.1, value + 0.1] for key in names}
    moved = {"value": difference, "low": difference - 0.05, "high": difference + 0.05}
    points = [
        {
            "kappa": kappa,
            "group_acceptance": [kappa] * len(groups),
            "bands": {f"{group}_acceptance": [kappa / 2, kappa] for group in groups},
        }
        for kappa in (0.25, 0.5, 1.0)
    ]
    differences = {key: None if figures[key] is None else moved for key in names}
    return {
        "name": name, "figures": figures, "intervals": intervals, "differences": differences, "at_coverage": points
    }  # fmt: skip


def evaluated(*methods: Record, groups: Sequence[str] = GROUPS, **fields: Any) -> Record:
    """Figures of those methods on 8,000 rows."""
    several = methods or (
        method("logitadjust_baseline + msp", 0.41, -0.02, groups=groups),
        method(REFERENCE, 0.43, groups=groups),
        method("log-linear + msp", 0.49, 0.06, groups=groups),
        method("log-linear + group-worst", 0.48, 0.055, groups=groups),
    )
    base = {
        "methods": list(several), "coverages": [0.25, 0.5, 1.0], "group_names": list(groups), "reference": REFERENCE,
        "resamples": 1000, "level": 0.95, "seed": 0, "rows": 8000, "effective_rows": 8000.0,
    }  # fmt: skip
    return {**base, **fields}


def evaluation(state: str = "succeeded", **fields: Any) -> Record:
    """An evaluation of that rejector and gating."""
    request = {
        "dataset": "digits_lt", "name": "group-worst", "output_dir": "argse", "test": "test", "gatings": [GATING_ID],
        "rejectors": [REJECTOR_ID], "allow_overlap": False, "identity": "ab",
    }  # fmt: skip
    names = ("test_decisions.npz", "curves.csv", "summary.json")
    files = {f"argse/group-worst/{name}": "ab" for name in names}
    result = {"evaluation": evaluated(), "test": part("test", 8000), "prior": "listed", "checks": [], "files": files}
    view = job(state, id=EVALUATION_ID, kind="evaluation", request=request, links=report_of(EVALUATION_ID), units=[])
    return {**view, "result": result if state == "succeeded" else None, **fields}


def combining(*views: Record) -> FakeServer:
    """A server that accepts and has these gatings, rejectors and evaluations, each in that state.

    The gating that the others are over is always there.
    """
    answers: Record = {f"GET_jobs__{GATING_ID}": {name: gating().get(name) for name in job()}}
    for view in views:
        resource = f"{view['kind']}s"
        shown = {name: view.get(name) for name in job()} | {"units": view.get("units") or []}
        answers |= {
            f"POST_{resource}": view,
            f"GET_{resource}": {resource: [view]},
            f"GET_{resource}__{view['id']}": view,
            f"GET_jobs__{view['id']}": shown,
            f"POST_jobs__{view['id']}__cancel": shown,
        }
    return answering(**answers)


def planned(kind: str, kept: str | None = None, **fields: Any) -> Record:
    """What `POST /gatings/plan` and its like answer, with these fields in the request."""
    view = {"gating": gating, "rejector": rejector, "evaluation": evaluation}[kind]()
    net = {"epochs": 25, "lr": 8e-4, "batch_size": 64, "seed": 42}
    lists = [part(name, rows)["list"] for name, rows in (("tunev", 1000), ("val", 1000), ("test", 8000))]
    more = {"net": net, "net_file": None, "groups": "head-tail", "head_threshold": 20, "lists": lists}
    request = view["request"] | (more if kind == "gating" else {}) | fields
    return {"ok": True, "problems": [], "request": request, "kept": kept}


def refused(*problems: tuple[str, str], **fields: Any) -> Record:
    """A plan with these problems, each a code and a sentence."""
    items = [{"code": code, "detail": detail, "pointer": None, "available": None} for code, detail in problems]
    return {"ok": False, "problems": items, **fields}
