"""Cells of the matrix: what is published of an expert on a split, and whether it still fits what is on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import urlencode

from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset, read_declaration
from app.domain.errors import RequestError
from app.domain.jobs import Job, Unit, UnitState
from app.domain.requests import RecomputeRequest
from app.domain.standards import HEAD_THRESHOLD
from app.pages.job_rows import Progress
from app.report.current_checks import is_as_published, publisher
from app.report.figures import Figure
from app.store.inspections import InspectionStore
from app.store.jobs import JobStore
from app.store.unit_tries import UnitTries, UnitTry
from app.submission.bodies import RecomputeBody
from app.submission.recompute import Examined

CellState = Literal["kept", "stale", "missing", "running", "queued"]

MEANINGS: Mapping[CellState, str] = {
    "kept": "computed, and its list, checkpoint and images are as they were",
    "stale": "computed from something that has changed since; the reason stands below",
    "missing": "not computed yet",
    "running": "being computed",
    "queued": "waits for a worker",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """Which files a matrix is about."""

    dataset: str
    splits_dir: str | None = None
    """Below the data directory; None for the data set's own."""
    experts_dir: str | None = None
    """Below the checkpoint directory; None for the data set's own."""
    prefix: str = "best_"
    output_dir: str = "logits_fixed"

    def body(self, **parts: Any) -> RecomputeBody:
        """Return the request for a job in this setting."""
        given = {
            "dataset": self.dataset,
            "splits_dir": self.splits_dir,
            "experts_dir": self.experts_dir,
            "checkpoint_prefix": self.prefix,
            "output_dir": self.output_dir,
        }
        return RecomputeBody.model_validate({**{n: v for n, v in given.items() if v is not None}, **parts})

    @property
    def query(self) -> str:
        """The setting in an address."""
        names = ("dataset", "splits_dir", "experts_dir", "prefix", "output_dir")
        return urlencode({name: value for name in names if (value := getattr(self, name)) is not None})

    @property
    def title(self) -> str:
        """The setting in words."""
        experts = "/".join(filter(None, (self.experts_dir, f"{self.prefix}*")))
        return f"{self.dataset}: {experts} on {self.splits_dir or 'its own splits'} → {self.output_dir}"


@dataclass(frozen=True, slots=True)
class Cell:
    """One expert on one split."""

    expert: str
    split: str
    state: CellState
    reasons: Sequence[str] = ()
    """Why it is stale."""
    value: str | None = None
    interval: str | None = None
    verdict: str | None = None
    notes: Sequence[str] = ()
    """How it was computed, where that is not as a plan from the matrix would: `bf16`, `calibrated`."""
    job: str | None = None
    """Id of the job that made it, or makes it."""
    progress: Progress | None = None
    failure: tuple[str, str] | None = None
    """Why the newest try failed, and the id of its job; nothing has been computed here since."""

    @property
    def name(self) -> str:
        """Expert and split, as a form sends them: neither holds a slash."""
        return f"{self.expert}/{self.split}"


@dataclass(frozen=True, slots=True)
class MatrixSite:
    """What a matrix is made from."""

    catalog: Catalog
    jobs: JobStore
    inspections: InspectionStore
    tries: UnitTries


@dataclass(slots=True)
class CellReader:
    """Reads cells; each job of which a result is published is read once."""

    setting: Setting
    figure: Figure
    examined: Examined
    tries: Mapping[tuple[str, str], UnitTry]
    """By expert and split."""
    site: MatrixSite
    jobs: dict[str, Job | None] = field(default_factory=dict)
    units: dict[tuple[str, str], tuple[Job, Unit]] = field(default_factory=dict)
    """Of the published results."""

    def cell(self, expert: str, split: str) -> Cell:
        """Build one cell."""
        a_try = self.tries.get((expert, split))
        if a_try is not None and not a_try.state.ended:
            state: CellState = "running" if a_try.state is UnitState.RUNNING else "queued"
            return Cell(expert, split, state, job=a_try.job, progress=Progress(a_try.done, a_try.total))
        published = self._published(expert, split)
        if a_try is None or a_try.error is None:
            return published
        return replace(published, failure=(str(a_try.error["message"]), a_try.job))

    def _published(self, expert: str, split: str) -> Cell:
        outputs = self.site.catalog.settings.outputs_dir
        path = outputs / self.setting.output_dir / expert / f"{split}_logits.npz"
        if not path.exists():
            return Cell(expert, split, "missing")
        job_id = publisher(path)
        job = None if job_id is None else self._job(job_id)
        if job is None:
            return Cell(expert, split, "stale", ["its job is not on record any more"])
        unit = job.unit(expert, split)
        if unit is None or unit.artifact is None or not isinstance(job.request, RecomputeRequest):
            return Cell(expert, split, "stale", ["no result of its job is published here"], job=job.id)
        self.units[expert, split] = (job, unit)
        reasons = self._changes(job.request, unit)
        if not is_as_published(path, unit.artifact):
            reasons.append("the published file is not the one that was written")
        value = None if unit.report is None else unit.report.metrics.number(self.figure.name)
        return Cell(
            expert,
            split,
            "stale" if reasons else "kept",
            reasons,
            self.figure.text(value),
            verdict=unit.report.verdict if unit.report else None,
            notes=_notes(job.request),
            job=job.id,
        )

    def _job(self, job_id: str) -> Job | None:
        if job_id not in self.jobs:
            try:
                self.jobs[job_id] = self.site.jobs.get(job_id)
            except RequestError:  # deleted; its published files stay
                self.jobs[job_id] = None
        return self.jobs[job_id]

    def _changes(self, request: RecomputeRequest, unit: Unit) -> list[str]:
        """Say what is no longer as it was when a unit was computed."""
        assert unit.artifact is not None
        reasons = []
        if (request.dataset, request.splits_dir) != self._folders[:2]:
            reasons.append(f"computed for {request.dataset} on {request.splits_dir}")
        if (request.experts_dir, request.checkpoint_prefix) != self._folders[2:]:
            reasons.append(f"computed with {request.experts_dir}/{request.checkpoint_prefix}*")
        if reasons:
            return reasons
        lists = {split.name: split for split in self.examined.splits}
        a_list = lists.get(unit.split)
        if a_list is None:
            reasons.append("the list cannot be read")
        elif a_list.sha256 != unit.split_sha256:
            reasons.append("the list was changed")
        if not self._same_checkpoint(request, unit):
            reasons.append("the checkpoint was changed")
        if not self._same_declaration(request, unit.expert):
            reasons.append("datasets.toml declares another normalisation or network")
        if a_list is not None and not self._same_data(request, a_list.base):
            reasons.append("the images were changed")
        return reasons

    @property
    def _folders(self) -> tuple[str, str, str, str]:
        """Data set, splits, checkpoints and prefix, with defaults filled in."""
        request = self.examined.request
        assert request is not None
        return request.dataset, request.splits_dir, request.experts_dir, request.checkpoint_prefix

    def _same_checkpoint(self, request: RecomputeRequest, unit: Unit) -> bool:
        now = next((expert for expert in self.examined.experts if expert.name == unit.expert), None)
        if now is None or unit.artifact is None:
            return False
        if now.passport is not None:
            return bool(now.passport["sha256"] == unit.artifact.checkpoint_sha256)
        return _plain(request.grounds.checkpoints.get(unit.expert)) == _plain(now.identity)

    def _same_declaration(self, request: RecomputeRequest, expert: str) -> bool:
        stem = f"{request.checkpoint_prefix}{expert}"
        try:
            before = _declared(read_declaration(request.declaration), stem, request.weights)
            return before == _declared(self.site.catalog.dataset(request.dataset), stem, request.weights)
        except RequestError:  # another version declared it, or it is ambiguous now
            return False

    def _same_data(self, request: RecomputeRequest, base: str) -> bool:
        now = self.examined.request.grounds.data.get(base) if self.examined.request else None
        return _plain(request.grounds.data.get(base)) == _plain(now)


def _declared(dataset: Dataset, stem: str, weights: str | None) -> tuple[object, ...]:
    """Return what the declaration says about an expert's input and network."""
    return dataset.transform(stem), dataset.assumptions(stem, weights), dataset.resize, dataset.crop


def _notes(request: RecomputeRequest) -> list[str]:
    """Say how results were computed, where that is not the default."""
    notes: list[str] = [] if request.precision == "fp32" else [request.precision]
    notes += [] if request.calibration == "none" else ["calibrated"]
    threshold = request.standards.head_threshold
    notes += [] if threshold == HEAD_THRESHOLD else [f"head above {threshold} train samples"]
    return notes + ([] if request.weights is None else [f"weights {request.weights}"])


def _plain(identity: object) -> object:
    """Write an identity as JSON has it, which knows no tuples."""
    if isinstance(identity, list | tuple):
        return [_plain(item) for item in identity]
    return identity
