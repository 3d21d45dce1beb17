"""The request that would make a job again, from the request that it was made with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from app.domain.combine_requests import EvaluationRequest, GatingRequest, RejectorRequest
from app.domain.compare_requests import ComparisonRequest
from app.domain.requests import RecomputeRequest, Request, VerificationRequest
from app.domain.run_requests import RunRequest
from app.submission.bodies import RecomputeBody, SplitsOptions, StandardsBody, VerificationBody
from app.submission.combine_bodies import EvaluationBody, GatingBody, RejectorBody
from app.submission.comparison import folder_name
from app.submission.comparison_bodies import ComparisonBody


@dataclass(frozen=True, slots=True)
class Submission:
    """A POST that makes a job."""

    address: str
    body: Mapping[str, Any]
    """JSON-able, without what equals the default."""


def submission_of(request: Request) -> Submission | None:
    """Return the POST that would make an equal job.

    None for what cannot be asked for again, such as uploaded files that are gone with their job.
    """
    if isinstance(request, RecomputeRequest):
        return Submission("/jobs", _changed(RecomputeBody, request) | _standards(request))
    if isinstance(request, VerificationRequest):
        if request.path is None:
            return None
        body = _changed(VerificationBody, request) | _single_file(request)
        return Submission("/verifications", body | _standards(request))
    if isinstance(request, GatingRequest):
        return Submission("/gatings", _gating(request))
    if isinstance(request, RejectorRequest):
        return Submission("/rejectors", _changed(RejectorBody, request))
    if isinstance(request, EvaluationRequest):
        return Submission("/evaluations", _changed(EvaluationBody, request))
    if isinstance(request, ComparisonRequest):
        return Submission("/comparisons", _comparison(request))
    if isinstance(request, RunRequest):
        return Submission("/runs", _run(request))
    return None


def _changed(model: type[BaseModel], request: object) -> dict[str, Any]:
    """Return the fields that the body and the request share, where they are not the body's defaults."""
    body = {}
    for name, field in model.model_fields.items():
        if hasattr(request, name) and (value := getattr(request, name)) != field.get_default():
            body[name] = list(value) if isinstance(value, tuple) else value
    return body


def _standards(request: RecomputeRequest | VerificationRequest) -> dict[str, Any]:
    standards = request.standards
    default = StandardsBody().standards()
    body: dict[str, Any] = {}
    if standards.head_threshold != default.head_threshold:
        body["head_threshold"] = standards.head_threshold
    if standards.floors:
        body["floors"] = dict(standards.floors)
    return body


def _single_file(request: VerificationRequest) -> dict[str, Any]:
    """Name a file that was verified alone: its folder may hold others, and its path need not tell what it is."""
    if len(request.files) != 1 or request.others or "/" in request.files[0].name:
        return {}
    [file] = request.files
    return {"path": f"{request.path}/{file.name}", "expert": file.expert, "split": file.split}


def _gating(request: GatingRequest) -> dict[str, Any]:
    body = _changed(GatingBody, request)
    body["logits"] = request.logits.job
    if request.validate != GatingBody().validate_:
        body["validate"] = request.validate
    for name in ("epochs", "lr", "batch_size", "seed"):
        value = getattr(request.net, name)
        if value != GatingBody.model_fields[name].get_default():
            body[name] = value
    if request.divided_by:
        body["divided_by"] = dict(request.divided_by)
    return body


def _comparison(request: ComparisonRequest) -> dict[str, Any]:
    """Name the sides as shortly as gives these pairs; a folder's name that was not given is made anew."""
    sides = {side.label: side for side in request.sides}
    body: dict[str, Any] = {"splits": list(request.splits)}
    for place, where in enumerate("ab"):
        own = {sides[pair[place]].expert: sides[pair[place]].logits.job for pair in request.pairs}
        [job] = set(own.values())
        body[where] = {"job": job, "expert": next(iter(own))} if len(own) == 1 else {"job": job}
    if len(request.pairs) > 1 and body["a"] == body["b"]:
        del body["b"]
    if request.name != folder_name(request.pairs, request.identity):
        body["name"] = request.name
    if request.output_dir != ComparisonBody.model_fields["output_dir"].get_default():
        body["output_dir"] = request.output_dir
    return body


def _run(request: RunRequest) -> dict[str, Any]:
    body: dict[str, Any] = {"dataset": request.dataset, "until": request.until}
    for step, bodies in request.bodies.items():
        parts = [dict(part) for part in bodies]
        if step == "rejector":
            body["rejectors"] = parts
        elif step == "splits":
            # The set is named by the recompute step; how it is drawn may only be said where that is known.
            drawn = {name: value for name, value in parts[0].items() if name not in ("dataset", "name")}
            if drawn != SplitsOptions().model_dump(mode="json"):
                body["splits"] = drawn
        else:
            body[step] = {name: value for name, value in parts[0].items() if name != "dataset"}
    return body
