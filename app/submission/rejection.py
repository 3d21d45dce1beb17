"""Check requests for rejectors and evaluations against the gatings that they name."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import get_args

from app.catalog.catalog import Catalog
from app.catalog.datasets import read_declaration
from app.catalog.split_lists import Split
from app.domain.combine_requests import SELECTIVE, EvaluationRequest, GatingRequest, InputList, RejectorRequest
from app.domain.combining import Score
from app.domain.errors import RequestError
from app.domain.jobs import Job, JobState
from app.domain.names import check_name
from app.domain.outcomes import GatingOutcome, RejectorOutcome
from app.store.jobs import JobStore
from app.submission.combine_bodies import EvaluationBody, RejectorBody
from app.submission.gating import identity_of, shared_samples
from app.submission.logit_inputs import files_of
from app.submission.problems import Problems

SEARCHED = 1000
"""Newest jobs among which defaults are looked for."""


def plan_rejector(body: RejectorBody, jobs: JobStore) -> RejectorRequest:
    """Check and complete a request for a rejector.

    Raises:
        Refused: with a problem for each wrong item.
    """
    problems = Problems()
    job = problems.guard("gating", lambda: newest_gating(jobs) if body.gating is None else jobs.get(body.gating))
    gating = None if job is None else problems.guard("gating", lambda: fitted_gating(job))
    if job is None or gating is None:
        raise problems.refusal()
    return reject_by(body, job.id, gating)


def reject_by(body: RejectorBody, gating_id: str, gating: GatingRequest) -> RejectorRequest:
    """Check and complete a request for a rejector over that gating.

    Raises:
        Refused: with a problem for each wrong item.
    """
    problems = Problems()
    if body.score == "energy" and len(gating.experts) > 1:
        message = "The score 'energy' is the logsumexp of one expert's logits; this gating combines several."
        problems.add("score", RequestError("energy-of-several", message))
    if body.min_group_coverage > 0 and body.score != "group":
        message = (
            f"The score {body.score!r} has thresholds alone, so it cannot keep to min_group_coverage; 'group' can."
        )
        problems.add("min_group_coverage", RequestError("min-group-coverage-unused", message))
    named = f"{body.score}-{body.objective}" if body.score == "group" else body.score
    if body.name in get_args(Score) and body.name != body.score:
        message = f"A method called {body.name!r} is one of that score; this rejector has the score {body.score!r}."
        problems.add("name", RequestError("name-of-a-score", message))
    name = problems.guard("name", lambda: check_name("name", body.name or named))
    if name is None or problems.errors:
        raise problems.refusal()
    request = RejectorRequest(
        dataset=gating.dataset,
        name=name,
        gating=gating_id,
        score=body.score,
        objective=body.objective,
        coverages=body.coverages,
        min_group_coverage=body.min_group_coverage,
    )
    return replace(request, identity=identity_of(request.to_dict() | {"gating": gating.identity}))


def plan_evaluation(body: EvaluationBody, catalog: Catalog, jobs: JobStore) -> EvaluationRequest:
    """Check and complete a request for an evaluation.

    Raises:
        Refused: with a problem for each wrong item.
    """
    problems = Problems()
    rejectors = _named_rejectors(body.rejectors or (), jobs, problems)
    gatings = _named_gatings(body.gatings, rejectors, jobs, problems)
    if problems.errors:
        raise problems.refusal()
    if body.rejectors is None:
        rejectors = _newest_rejectors(jobs, [job.id for job, _ in gatings])
    tests = [problems.guard("test", partial(check_test, gating, body, catalog)) for _, gating in gatings]
    if len(set(tests)) > 1 or len({_terms(gating) for _, gating in gatings}) > 1:
        message = (
            "The gatings differ in data set, test rows, prior, train counts or class groups, so their figures cannot "
            "be compared."
        )
        problems.add("gatings", RequestError("gatings-differ", message))
    problems.guard("gatings", lambda: _check_names("gatings", [gating.name for _, gating in gatings]))
    for job, gating in gatings:
        names = [request.name for _, request in rejectors if request.gating == job.id]
        names += [SELECTIVE] if gating.mode == "selective" else []
        problems.guard("rejectors", partial(_check_names, "rejectors", names))
    grids = [request.coverages for _, request in rejectors]
    grids += [gating.coverages for _, gating in gatings if gating.mode == "selective"]
    if len(set(grids)) > 1:
        message = "The rejectors were fitted for different coverages, so their figures cannot be compared."
        problems.add("rejectors", RequestError("rejectors-differ", message))
    first = rejectors[0][1].name if rejectors else gatings[0][1].name
    name = problems.guard("name", lambda: check_name("name", body.name or first))
    output_dir = problems.guard("output_dir", lambda: check_name("output_dir", body.output_dir))
    if problems.errors or name is None or output_dir is None:
        raise problems.refusal()
    request = EvaluationRequest(
        dataset=gatings[0][1].dataset,
        name=name,
        output_dir=output_dir,
        test=body.test,
        gatings=tuple(job.id for job, _ in gatings),
        rejectors=tuple(job.id for job, _ in rejectors),
        allow_overlap=body.allow_overlap,
    )
    identities = {
        "gatings": [gating.identity for _, gating in gatings],
        "rejectors": [rejector.identity for _, rejector in rejectors],
    }
    return replace(request, identity=identity_of(request.to_dict() | identities))


def _named_rejectors(ids: Sequence[str], jobs: JobStore, problems: Problems) -> list[tuple[Job, RejectorRequest]]:
    """Look up the rejectors that a request names."""
    found = [problems.guard("rejectors", lambda i=i: fitted_rejector(jobs.get(i))) for i in dict.fromkeys(ids)]  # type: ignore[misc]
    return [rejector for rejector in found if rejector is not None]


def _named_gatings(
    ids: Sequence[str] | None, rejectors: Sequence[tuple[Job, RejectorRequest]], jobs: JobStore, problems: Problems
) -> list[tuple[Job, GatingRequest]]:
    """Look up the gatings that a request names: itself, by its rejectors, or the newest."""

    def fitted(job_id: str | None) -> tuple[Job, GatingRequest]:
        job = newest_gating(jobs) if job_id is None else jobs.get(job_id)
        return job, fitted_gating(job)

    if ids:
        for job, request in rejectors:
            if request.gating not in ids:
                message = f"The rejector {request.name!r} ({job.id}) is of the gating {request.gating}, not of these."
                problems.add("rejectors", RequestError("rejector-of-another-gating", message))
        wanted: list[str | None] = list(dict.fromkeys(ids))
    else:
        wanted = list(dict.fromkeys(request.gating for _, request in rejectors)) or [None]
    found = [problems.guard("gatings", partial(fitted, job_id)) for job_id in wanted]
    return [gating for gating in found if gating is not None]


def _terms(gating: GatingRequest) -> tuple[str, ...]:
    """Gather what figures of several gatings have to share."""
    declaration = json.dumps(gating.declaration, sort_keys=True)
    threshold = str(gating.head_threshold)
    return (gating.dataset, declaration, gating.prior, gating.groups, threshold, gating.counts_sha256)


def _check_names(what: str, names: Sequence[str]) -> None:
    """Check that names tell results apart."""
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        message = f"Several {what} are called {', '.join(repeated)}, so that their figures cannot be told apart."
        raise RequestError("repeated-name", f"{message} Submit them under names of their own.")


def newest_gating(jobs: JobStore) -> Job:
    """Return the newest gating that succeeded.

    Raises:
        RequestError: `no-gating`.
    """
    for job in jobs.jobs(kind=GatingRequest.kind, states=[JobState.SUCCEEDED], limit=1):
        return job
    raise RequestError("no-gating", "No gating has succeeded yet. Combine experts first.")


def fitted_gating(job: Job) -> GatingRequest:
    """Return the request of a gating that succeeded.

    Raises:
        RequestError: `no-gating` or `gating-unfinished`.
    """
    if not isinstance(job.request, GatingRequest):
        raise RequestError("no-gating", f"Job {job.id} is a {job.request.kind}, not a gating.")
    if job.state is not JobState.SUCCEEDED or not isinstance(job.outcome, GatingOutcome):
        raise RequestError("gating-unfinished", f"The gating {job.id} is {job.state}; one that succeeded is needed.")
    return job.request


def fitted_rejector(job: Job) -> tuple[Job, RejectorRequest]:
    """Return a rejector that succeeded, with its request.

    Raises:
        RequestError: `no-rejector` or `rejector-unfinished`.
    """
    if not isinstance(job.request, RejectorRequest):
        raise RequestError("no-rejector", f"Job {job.id} is a {job.request.kind}, not a rejector.")
    if job.state is not JobState.SUCCEEDED or not isinstance(job.outcome, RejectorOutcome):
        message = f"The rejector {job.id} is {job.state}; one that succeeded is needed."
        raise RequestError("rejector-unfinished", message)
    return job, job.request


def _newest_rejectors(jobs: JobStore, gatings: Sequence[str]) -> list[tuple[Job, RejectorRequest]]:
    """Return the newest rejector of each name of each of these gatings, the oldest first."""
    named: dict[tuple[str, str], tuple[Job, RejectorRequest]] = {}
    for job in jobs.jobs(kind=RejectorRequest.kind, states=[JobState.SUCCEEDED], limit=SEARCHED):
        if isinstance(job.request, RejectorRequest) and job.request.gating in gatings:
            named.setdefault((job.request.gating, job.request.name), (job, job.request))
    return list(reversed(named.values()))


def check_test(gating: GatingRequest, body: EvaluationBody, catalog: Catalog) -> tuple[str, str, int]:
    """Check a gating's test rows; return their base, list and number.

    Raises:
        RequestError: `split-without-logits`, `split-changed` or `overlap`.
    """
    wanted, _ = files_of(gating, body.test)
    test = _read_unchanged(gating, wanted, catalog)
    shared = {
        item.split: shared_samples(test, _read_unchanged(gating, item, catalog)) for item in gating.fitted_lists
    }
    named = " and ".join(f"{count} with {name!r}" for name, count in shared.items() if count)
    if named and not body.allow_overlap:
        raise RequestError(
            "overlap",
            f"{body.test!r} shares samples with the lists that gating {gating.name!r} was fitted on: {named}. Their "
            "figures flatter. Take other splits, or set allow_overlap: every result then repeats this.",
            shared=shared,
        )
    return wanted.base, wanted.sha256, wanted.rows


def _read_unchanged(gating: GatingRequest, known: InputList, catalog: Catalog) -> Split:
    """Read one of a gating's lists.

    Raises:
        RequestError: `split-changed` since it was combined, or what `Catalog.read_split` raises.
    """
    dataset = read_declaration(gating.declaration)
    read = catalog.read_split(dataset, catalog.splits_folder(dataset, gating.splits_dir), known.split)
    if (read.base, read.sha256) != (known.base, known.sha256):
        raise RequestError(
            "split-changed", f"The index list of {known.split!r} was changed since. Combine the experts again."
        )
    return read
