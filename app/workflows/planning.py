"""Check the request for a whole workflow before any of it begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset
from app.catalog.folders import Folder
from app.catalog.split_lists import TRAIN_SPLIT
from app.catalog.split_sets import DESCRIPTION_FILE, read_description
from app.domain.combine_requests import GatingRequest, InputFile
from app.domain.errors import Refused, RequestError
from app.domain.jobs import Job, JobState
from app.domain.names import check_name
from app.domain.numerics import ComputeEnvironment
from app.domain.run_requests import STEPS, RunRequest, Step
from app.store.inspections import InspectionStore
from app.submission.bodies import SplitsOptions
from app.submission.gating import combine_logits
from app.submission.logit_inputs import VerifiedFile, VerifiedLogits
from app.submission.problems import Problems
from app.submission.recompute import Examined, examine
from app.submission.rejection import check_test, reject_by
from app.submission.splits import DIVISION, PARTS
from app.workflows.bodies import FILLED_IN, RunBody

T = TypeVar("T")

OF_THIS_RUN = "of this run"
"""Stands for the id of a job to come, in messages."""


def plan_run(
    body: RunBody,
    catalog: Catalog,
    inspections: InspectionStore,
    compute_environments: Sequence[ComputeEnvironment] = (),
) -> RunRequest:
    """Check and complete a request for a run.

    Whatever can be known before the first step is checked, up to the last step that the request names. Where the
    splits have yet to be created, that is little more than names and checkpoints.

    Raises:
        Refused: with a problem for each wrong item.
    """
    planning = _Planning(body, catalog, inspections, compute_environments)
    request = planning.run()
    if request is None or planning.problems.errors:
        raise planning.problems.refusal()
    return request


def find_set(catalog: Catalog, dataset: Dataset, given: str | None) -> Folder | None:
    """Return the folder of a set of splits; None if it is not there or empty.

    Raises:
        RequestError: `invalid-name`.
    """
    try:
        folder = catalog.splits_folder(dataset, given)
    except RequestError as error:
        if error.code == "splits-dir-missing":
            return None
        raise
    return folder if any(folder.path.iterdir()) else None


class _Planning:
    """One request being checked; every problem is noted at its place."""

    def __init__(
        self,
        body: RunBody,
        catalog: Catalog,
        inspections: InspectionStore,
        compute_environments: Sequence[ComputeEnvironment],
    ) -> None:
        self._body, self._catalog, self._inspections = body, catalog, inspections
        self._environments = compute_environments
        self.problems = Problems()

    def run(self) -> RunRequest | None:
        """Check the parts in the order of the steps."""
        body, catalog, problems = self._body, self._catalog, self.problems
        dataset = problems.guard("dataset", lambda: catalog.dataset(body.dataset))
        if dataset is None:
            return None
        given = body.recompute.splits_dir
        name = dataset.splits if given is None else given
        known = len(problems.errors)
        folder = problems.guard("recompute/splits_dir", lambda: find_set(catalog, dataset, given))
        if len(problems.errors) > known:
            return None
        if folder is None:
            problems.guard("recompute/splits_dir", lambda: check_name("splits_dir", name))
        else:
            problems.guard("splits", lambda: _check_drawn(body.splits, folder))
        if self._goes_to("recompute"):
            self._check_steps(folder)
        return RunRequest(body.dataset, body.until, self._bodies(name))

    def _goes_to(self, step: Step) -> bool:
        return STEPS.index(step) <= STEPS.index(self._body.until)

    def _bodies(self, splits_name: str) -> dict[str, tuple[dict[str, Any], ...]]:
        body = self._body
        splits = (body.splits or SplitsOptions()).model_dump(mode="json") | {"name": splits_name}
        return {
            "splits": (splits | {"dataset": body.dataset},),
            "recompute": (_stored("recompute", body.recompute) | {"dataset": body.dataset},),
            "gating": (_stored("gating", body.gating),),
            "rejector": tuple(_stored("rejectors", rejector) for rejector in body.rejectors),
            "evaluation": (_stored("evaluation", body.evaluation),),
        }

    def _check_steps(self, folder: Folder | None) -> None:
        body = self._body
        recompute = body.recompute.model_copy(update={"dataset": body.dataset})
        examined = examine(recompute, self._catalog, self._inspections, self._environments)
        for error in examined.problems:
            pointer = error.details["pointer"]
            if folder is None and pointer.startswith("#/splits"):
                continue  # the lists are not there yet
            # The data set is the run's, all else is the part's.
            self._note(error, "" if pointer == "#/dataset" else "recompute")
        if folder is None:
            drawn = {*PARTS, TRAIN_SPLIT, *(DIVISION if body.splits and body.splits.expert_share else ())}
            for i, split in enumerate(recompute.splits):
                if split not in drawn:
                    self.problems.add(f"recompute/splits/{i}", _not_drawn(split, drawn))
        elif not examined.problems and self._goes_to("gating"):
            self._check_combination(examined)

    def _check_combination(self, examined: Examined) -> None:
        body = self._body
        planned = self._part("gating", lambda: combine_logits(body.gating, _planned_logits(examined), self._catalog))
        if planned is None:
            return
        gating, _ = planned
        if self._goes_to("rejector"):
            self._check_rejectors(gating)
        if self._goes_to("evaluation"):
            evaluation = body.evaluation
            self._part("evaluation", lambda: check_name("output_dir", evaluation.output_dir), "output_dir")
            self._part("evaluation", lambda: check_test(gating, evaluation, self._catalog), "test")

    def _check_rejectors(self, gating: GatingRequest) -> None:
        names: list[str] = []
        grids = {rejector.coverages for rejector in self._body.rejectors}
        grids |= {gating.coverages} if gating.mode == "selective" else set()
        if len(grids) > 1:
            message = "The rejectors have different coverages, so their figures cannot be compared."
            self.problems.add("rejectors", RequestError("rejectors-differ", message))
        for i, rejector in enumerate(self._body.rejectors):
            where = f"rejectors/{i}"
            request = self._part(where, lambda r=rejector: reject_by(r, OF_THIS_RUN, gating))  # type: ignore[misc]
            if request is not None and request.name in names:
                message = f"Two rejectors are named {request.name!r}; give one of them another name."
                self.problems.add(where, RequestError("repeated-name", message))
            names += [] if request is None else [request.name]

    def _part(self, part: str, attempt: Callable[[], T], where: str = "") -> T | None:
        """Return the attempt's result; on failure, note its problems below that part."""
        try:
            return attempt()
        except RequestError as error:
            for problem in _problems_of(error):
                problem.details.setdefault("pointer", f"#/{where}")
                self._note(problem, part)
            return None

    def _note(self, error: RequestError, part: str) -> None:
        pointer = str(error.details.pop("pointer")).removeprefix("#/")
        self.problems.add("/".join(filter(None, (part, pointer))), error)


def _problems_of(error: RequestError) -> Iterator[RequestError]:
    yield from error.problems if isinstance(error, Refused) else (error,)


def _stored(part: str, body: BaseModel) -> dict[str, Any]:
    return body.model_dump(mode="json", by_alias=True, exclude=set(FILLED_IN[part]))


def _planned_logits(examined: Examined) -> VerifiedLogits:
    """Stand in for the logits that the run has yet to compute."""
    request = examined.request
    assert request is not None
    files = {
        (expert.name, split.name): VerifiedFile(InputFile(expert.name, split.name, ""), split.base, split.sha256)
        for expert in examined.experts
        for split in examined.splits
    }
    return VerifiedLogits(Job(OF_THIS_RUN, JobState.QUEUED, request, (), 0.0), request, files)


def _not_drawn(split: str, drawn: set[str]) -> RequestError:
    names = sorted(drawn)
    message = f"The set of splits is not there yet, and drawing it makes no list {split!r}, but {', '.join(names)}."
    return RequestError("unknown-split", message, available=names)


def _check_drawn(options: SplitsOptions | None, folder: Folder) -> None:
    """Refuse options of drawing that a set which is there contradicts.

    Raises:
        RequestError: `splits-differ`.
    """
    given = {} if options is None else options.model_dump(mode="json", include=options.model_fields_set)
    described = read_description(folder.path) if given else None
    drawn = {} if described is None else described.model_dump(mode="json")
    wrong = [name for name, value in given.items() if drawn.get(name) != value]
    if wrong:
        was = ", ".join(f"{name} {drawn.get(name)}" for name in wrong)
        known = f"was drawn with {was}" if described is not None else f"has no {DESCRIPTION_FILE} that says how"
        raise RequestError(
            "splits-differ",
            f"The set {folder.name!r} is there already and {known}. Leave `splits` out to take it as it is, or name "
            "another set with splits_dir.",
        )
