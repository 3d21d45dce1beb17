"""A relogit server made of a function: it answers as the real one does, from a script of job states."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np

JOB_ID = "0001abcd"
VERIFICATION_ID = "0002abcd"
UPLOAD_ID = "0003abcd"
LOGITS = np.array([[2.0, 1.0], [0.5, 3.0], [1.0, 0.0]], dtype=np.float32)
MANIFEST = {"manifest": {"dtype": "f4"}}
TARGETS = np.array([0, 1, 1], dtype=np.int64)


def npz() -> bytes:
    """An artifact's bytes: three rows, two classes."""
    body = io.BytesIO()
    np.savez(body, logits=LOGITS, targets=TARGETS, predictions=LOGITS.argmax(1))
    return body.getvalue()


def unit(split: str = "val", state: str = "succeeded", **fields: Any) -> dict[str, Any]:
    """A unit of the expert `ce`, done unless told otherwise."""
    done = 3 if state == "succeeded" else 0
    figures = {"accuracy": 2 / 3 if state == "succeeded" else None, "rate": None, "remaining_s": None}
    rows = {"done": done, "total": 3, "reused": 0, "computed": done, "attempts": 1}
    base: dict[str, Any] = {"expert": "ce", "split": split, "state": state, "error": None, "notes": []}
    return {**base, **rows, **figures, **fields}


def job(state: str = "succeeded", *, units: list[dict[str, Any]] | None = None, **fields: Any) -> dict[str, Any]:
    """A job with one unit, in the given state."""
    unit_state = {"succeeded": "succeeded", "queued": "queued", "running": "running"}.get(state, "failed")
    request = {"dataset": "digits_lt", "output_dir": "logits_fixed", "checkpoint_prefix": "best_"}
    times = {"created_at": "2026-01-02T03:04:05.000Z", "started_at": None, "finished_at": None}
    base = {"id": JOB_ID, "kind": "recompute", "state": state, **times, "request": request, "error": None}
    verdict = "passed" if state == "succeeded" else None
    units = [unit(state=unit_state)] if units is None else units
    return {**base, "units": units, "verdict": verdict, "links": {}, **fields}


def check(verdict: str = "passed", level: str = "error", **fields: Any) -> dict[str, Any]:
    """A check of logits."""
    base = {"id": "finite", "level": level, "verdict": verdict, "measured": 0, "expected": 0}
    return {**base, "message": "NaN or Inf among the logits.", "evidence": [], **fields}


def verification(verdict: str = "passed", checks: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The verification of a job with one result."""
    reasons = {"reweighted_accuracy": "there are no class weights"}
    metrics = {
        "samples": 3, "classes": 2, "accuracy": 2 / 3, "balanced_accuracy": 0.75, "reweighted_accuracy": None,
        "head_accuracy": 1.0, "tail_accuracy": 0.5, "reasons": reasons,
    }  # fmt: skip
    result: dict[str, Any] = {"expert": "ce", "split": "val", "verdict": verdict, "metrics": metrics, "error": None}
    result["checks"] = [check()] if checks is None else checks
    return {"job": JOB_ID, "verdict": verdict, "checks": [], "results": [result]}


def files_verification(
    state: str = "succeeded",
    verdict: str | None = None,
    *,
    results: list[dict[str, Any]] | None = None,
    checks: list[dict[str, Any]] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """A verification of files, with one result if it was carried out."""
    done = state == "succeeded"
    if results is None:
        results = [{**verification()["results"][0], "file": None}] if done else []
    base = job(state, id=VERIFICATION_ID, kind="verification", verdict=verdict or ("passed" if done else None))
    files = [{"name": f"{one}/val_logits.npz", "expert": one, "split": "val"} for one in ("ce", "ls")]
    standards = {"head_threshold": 20, "floors": {}}
    request = {"dataset": "digits_lt", "splits_dir": "s", "path": None, "upload": UPLOAD_ID, "standards": standards}
    view = {**base, "request": {**request, "files": files, "others": []}, "checks": checks or [], "results": results}
    return {name: value for name, value in view.items() if name != "units"} | fields


def result(expert: str, split: str, *checks: dict[str, Any], verdict: str = "failed") -> dict[str, Any]:
    """A verified result with those checks."""
    return {**verification(verdict, list(checks))["results"][0], "expert": expert, "split": split}


def entry(
    analysis: dict[str, Any] | None, state: str = "ready", expert: str = "ce", split: str = "val", **fields: Any
) -> dict[str, Any]:
    """What `GET /jobs/<id>/analysis` says of one result."""
    return {"expert": expert, "split": split, "state": state, "analysis": analysis, "error": None, **fields}


def statistics() -> dict[str, Any]:
    """Intervals and curves of one result."""
    figures = {"accuracy": [0.6, 0.7], "balanced_accuracy": [0.7, 0.8], "reweighted_accuracy": None, "nll": [0.5, 1]}
    curve = {"coverage": [0.5, 1.0], "risk": [0.0, 0.25]}
    return {
        "intervals": {"level": 0.95, "resamples": 1000, "seed": 0, "figures": figures},
        "curves": {"risk_coverage": curve, "balanced_risk_coverage": curve, "worst_group_risk_coverage": None},
        "areas": {"risk_coverage": 0.125, "balanced_risk_coverage": 0.25, "worst_group_risk_coverage": None},
        "reliability": [],
    }


def causes(message: str = "Against the labels of 'train' the accuracy is 50.00%.") -> dict[str, Any]:
    """What was found when causes were tried."""
    return {"found": None, "tried": [], "untried": [], "message": message}


def expert(name: str = "ce", **fields: Any) -> dict[str, Any]:
    """A checkpoint that is ready, as `GET /experts` describes it."""
    passport = {
        "file": f"best_{name}.pth", "sha256": "ab", "bytes": 1234, "format": "pth",
        "architecture": "cifar_resnet32", "widths": [16, 32, 64], "shortcut": "projection", "parameters": 472756,
        "classes": 100, "temperature": 1.5, "dtype": "float32", "renamed": ["linear.* -> fc.*"],
        "assumed": [], "ignored": [], "notes": [],
    }  # fmt: skip
    transform = {"mean": [0.5071, 0.4867, 0.4408], "std": [0.2675, 0.2565, 0.2761], "from": "data set"}
    base = {"name": name, "file": passport["file"], "state": "ready", "passport": passport, "problem": None}
    return {**base, "transform": transform, **fields}


def expert_list(*experts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """What `GET /experts` answers."""
    base = {"dataset": "d", "experts_dir": "e", "prefix": "best_", "experts": list(experts), "unused_overrides": []}
    return {**base, **fields}


def problem(status: int, code: str, detail: str, errors: list[dict[str, Any]] | None = None) -> httpx.Response:
    """An error as the server sends it."""
    body = {"type": "about:blank", "title": "Bad", "status": status, "detail": detail, "code": code}
    content = json.dumps({**body, "instance": "/jobs", "errors": errors or []}).encode()
    return httpx.Response(status, content=content, headers={"Content-Type": "application/problem+json"})


def judged(verdict: str, *results: dict[str, Any], **fields: Any) -> FakeServer:
    """A server whose verification of files ends with that verdict and those results."""
    server = FakeServer()
    ended = files_verification(verdict=verdict, results=list(results), **fields)
    server.verifications = [files_verification("queued"), ended]
    return server


class FakeServer:
    """One job that moves to its next state with each look, and overrides for anything else.

    Attributes:
        answers: responses by "METHOD /path", in place of what the server would say.
        requests: what was asked, in order.
        verifications: the states of its one verification, which moves on like the job.
        analyses: what it answers by the part that is asked for.
        token: its `instance`.
        files: what was uploaded, by name.
    """

    def __init__(self, *states: dict[str, Any]) -> None:
        self.states = list(states) or [job()]
        self.verification = verification()
        self.body = npz()
        self.path = "logits_fixed/ce/val_logits.npz"
        self.answers: dict[str, httpx.Response | Callable[[], httpx.Response]] = {}
        self.requests: list[httpx.Request] = []
        self.verifications = [files_verification()]
        self.analyses: dict[str, list[dict[str, Any]]] = {
            "causes": [],
            "statistics": [],
            "ensemble": [],
            "seeds": [],
        }
        self.token = ""
        self.files: dict[str, bytes] = {}

    @property
    def transport(self) -> httpx.MockTransport:
        """What connects a client to this server."""
        return httpx.MockTransport(self._answer)

    @property
    def asked(self) -> list[str]:
        """The requests as "METHOD /path"."""
        return [f"{request.method} {request.url.path}" for request in self.requests]

    @property
    def submitted(self) -> Any:
        """The body of the last request that had one."""
        return json.loads([request.content for request in self.requests if request.content][-1])

    def _answer(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        asked = f"{request.method} {request.url.path}"
        if asked in self.answers:
            answer = self.answers[asked]
            return answer if isinstance(answer, httpx.Response) else answer()
        here = f"/jobs/{JOB_ID}"
        if asked == f"GET {here}":
            return httpx.Response(200, json=_next(self.states))
        if asked == f"GET /verifications/{VERIFICATION_ID}":
            return httpx.Response(200, json=_next(self.verifications))
        if asked == f"GET /jobs/{VERIFICATION_ID}":
            view = {**self.verifications[0], "units": []}
            return httpx.Response(200, json={name: view[name] for name in job()})
        if asked.endswith("/analysis"):
            return self._analysis(request)
        if asked.startswith(f"PUT /uploads/{UPLOAD_ID}/"):
            self.files[request.url.path.removeprefix(f"/uploads/{UPLOAD_ID}/")] = request.content
            return httpx.Response(204)
        sha256 = hashlib.sha256(npz()).hexdigest()
        artifact = {"expert": "ce", "split": "val", "path": self.path, "bytes": 1, "sha256": sha256}
        known: dict[str, Callable[[], httpx.Response]] = {
            "POST /jobs": lambda: httpx.Response(202, json=self.states[0]),
            "GET /jobs": lambda: httpx.Response(200, json={"jobs": [self.states[0]]}),
            "GET /healthz": lambda: httpx.Response(200, json={"status": "ok", "instance": self.token}),
            "POST /uploads": lambda: httpx.Response(201, json={"id": UPLOAD_ID, "files": {}}),
            f"DELETE /uploads/{UPLOAD_ID}": lambda: httpx.Response(204),
            "POST /verifications": lambda: httpx.Response(202, json=self.verifications[0]),
            f"POST /jobs/{VERIFICATION_ID}/cancel": lambda: httpx.Response(202, json={}),
            f"DELETE /jobs/{VERIFICATION_ID}": lambda: httpx.Response(204),
            "GET /readyz": lambda: httpx.Response(200, json={"ready": True, "checks": {}}),
            f"POST {here}/cancel": lambda: httpx.Response(202, json=job("cancelling")),
            f"DELETE {here}": lambda: httpx.Response(204),
            f"GET {here}/verification": lambda: httpx.Response(200, json=self.verification),
            f"GET {here}/artifacts/ce/val": lambda: httpx.Response(200, content=self.body),
            f"GET {here}/artifacts": lambda: httpx.Response(200, json={"artifacts": [artifact | MANIFEST]}),
        }
        if asked in known:
            return known[asked]()
        return problem(404, "not-found", f"There is no {request.url.path}.")

    def _analysis(self, request: httpx.Request) -> httpx.Response:
        part = request.url.params["part"]
        results = self.analyses[part]
        complete = all(one["state"] != "pending" for one in results)
        of = request.url.path.split("/")[2]
        return httpx.Response(200, json={"job": of, "part": part, "complete": complete, "results": results})


def answering(**answers: Any) -> FakeServer:
    """A server with these answers; `GET_splits__a` stands for `GET /splits/a`."""
    server = FakeServer()
    for name, answer in answers.items():
        method, path = name.split("_", 1)
        response = answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)
        server.answers[f"{method} /{path.replace('__', '/')}"] = response
    return server


def raising(error: BaseException, request: str, server: FakeServer) -> FakeServer:
    """The server, whose answer to one request is an error of the transport."""

    def fail() -> httpx.Response:
        raise error

    server.answers[request] = fail
    return server


def _next(states: list[dict[str, Any]]) -> dict[str, Any]:
    return states.pop(0) if len(states) > 1 else states[0]
