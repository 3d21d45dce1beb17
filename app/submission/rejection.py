"""Check requests for rejectors and evaluations against the gatings that they name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.catalog.catalog import Catalog
from app.catalog.datasets import read_declaration
from app.catalog.split_lists import Split
from app.domain.combine_requests import EvaluationRequest, GatingRequest, RejectorRequest
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
        NotFound: there is no job `gating`.
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
    named = f"{body.score}-{body.objective}" if body.score == "group" else body.score
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
        NotFound: there is no job of one of the ids.
    """
    problems = Problems()
    rejectors = [fitted_rejector(jobs.get(job_id)) for job_id in body.rejectors or ()]
    ids = dict.fromkeys([*(body.gatings or ()), *(request.gating for _, request in rejectors)])
    newest = None if ids else problems.guard("gatings", lambda: newest_gating(jobs))
    if problems.errors:
        raise problems.refusal()
    gatings = [(job, fitted_gating(job)) for job in ([newest] if newest else map(jobs.get, ids))]
    if body.rejectors is None:
        rejectors = _newest_rejectors(jobs, [job.id for job, _ in gatings])
    tests = [problems.guard("test", lambda g=gating: check_test(g, body, catalog)) for _, gating in gatings]  # type: ignore[misc]
    if len(set(tests)) > 1 or len({(g.prior, g.groups, g.head_threshold, g.dataset) for _, g in gatings}) > 1:
        message = "The gatings differ in test rows, prior or class groups, so their figures cannot be compared."
        problems.add("gatings", RequestError("gatings-differ", message))
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
    """Return the newest rejector of each name over these gatings, the oldest first."""
    named: dict[str, tuple[Job, RejectorRequest]] = {}
    for job in jobs.jobs(kind=RejectorRequest.kind, states=[JobState.SUCCEEDED], limit=SEARCHED):
        if isinstance(job.request, RejectorRequest) and job.request.gating in gatings:
            named.setdefault(job.request.name, (job, job.request))
    return list(reversed(named.values()))


def check_test(gating: GatingRequest, body: EvaluationBody, catalog: Catalog) -> tuple[str, str, int]:
    """Check a gating's test rows; return their base, list and number.

    Raises:
        RequestError: `split-without-logits`, `split-changed` or `overlap`.
    """
    wanted, _ = files_of(gating, body.test)
    test = read_unchanged_list(gating, wanted.split, catalog)
    fitted = {name: read_unchanged_list(gating, name, catalog) for name in (gating.fit, gating.validate)}
    shared = {name: shared_samples(test, split) for name, split in fitted.items()}
    named = " and ".join(f"{count} with {name!r}" for name, count in shared.items() if count)
    if named and not body.allow_overlap:
        raise RequestError(
            "overlap",
            f"{body.test!r} shares samples with the lists that gating {gating.name!r} was fitted on: {named}. Their "
            "figures flatter. Take other splits, or set allow_overlap: every result then repeats this.",
            shared=shared,
        )
    return wanted.base, wanted.sha256, wanted.rows


def read_unchanged_list(gating: GatingRequest, split: str, catalog: Catalog) -> Split:
    """Read one of a gating's lists.

    Raises:
        RequestError: `split-changed` since it was combined, or what `Catalog.read_split` raises.
    """
    dataset = read_declaration(gating.declaration)
    read = catalog.read_split(dataset, catalog.splits_folder(dataset, gating.splits_dir), split)
    known = gating.list_of(split)
    if (read.base, read.sha256) != (known.base, known.sha256):
        raise RequestError(
            "split-changed", f"The index list of {split!r} was changed since. Combine the experts again."
        )
    return read
