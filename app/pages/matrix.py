"""The matrix of experts by splits: what is there, what no longer fits, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import urlencode

from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset
from app.catalog.folders import Folder
from app.domain.analyses import Statistics
from app.domain.errors import RequestError
from app.domain.jobs import Job, Unit, UnitState
from app.domain.requests import RecomputeRequest
from app.files.artifacts import artifact_path
from app.pages.job_rows import Progress
from app.report.current_checks import publisher
from app.report.figures import FIGURES, Figure
from app.store.inspection_requests.analysis import AnalysisSubject, analysis_request
from app.store.inspections import InspectionStore
from app.store.jobs import JobStore
from app.submission.bodies import RecomputeBody
from app.submission.recompute import Examined, examine

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

    @classmethod
    def of(cls, request: RecomputeRequest) -> Setting:
        """Return the setting of a job."""
        names = (request.splits_dir, request.experts_dir, request.checkpoint_prefix, request.output_dir)
        return cls(request.dataset, *names)

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
    job: str | None = None
    """Id of the job that made it, or makes it."""
    progress: Progress | None = None

    @property
    def name(self) -> str:
        """Expert and split, as a form sends them: neither holds a slash."""
        return f"{self.expert}/{self.split}"


@dataclass(frozen=True, slots=True)
class Matrix:
    """All that is shown of one setting."""

    setting: Setting
    splits: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    """Expert → a cell for each split."""
    figure: Figure
    problems: Sequence[str]
    """What is wrong with the files of the setting."""
    meanings: Sequence[tuple[CellState, str]] = ()
    """Of the states that occur."""


@dataclass(frozen=True, slots=True)
class MatrixSite:
    """What a matrix is made from."""

    catalog: Catalog
    jobs: JobStore
    inspections: InspectionStore


def settings_of(jobs: Sequence[Job], catalog: Catalog) -> list[Setting]:
    """List the settings of these jobs, then those of data sets without a job; each once."""
    settings = dict.fromkeys(Setting.of(job.request) for job in jobs if isinstance(job.request, RecomputeRequest))
    known = {setting.dataset for setting in settings}
    return [*settings, *(Setting(name) for name in catalog.datasets() if name not in known)]


def make_matrix(setting: Setting, figure_name: str, open_jobs: Sequence[Job], site: MatrixSite) -> Matrix:
    """Read what is published, and compare it with the files that it was computed from.

    Nothing is computed, and no file of logits is read.

    Raises:
        RequestError: there is no such data set or folder.
    """
    dataset = site.catalog.dataset(setting.dataset)
    folder = site.catalog.splits_folder(dataset, setting.splits_dir)
    splits = site.catalog.split_names(folder)
    examined = examine(setting.body(splits=splits), site.catalog, site.inspections) if splits else Examined([])
    figure = next((f for f in FIGURES if f.name == figure_name), FIGURES[0])
    reader = _CellReader(setting, figure, examined, open_jobs, site)
    experts = list(examined.request.experts) if examined.request is not None else []
    rows = [(expert, [reader.cell(expert, split) for split in splits]) for expert in experts]
    rows = _with_intervals(rows, reader, (dataset, folder, site))
    states = dict.fromkeys(cell.state for _, cells in rows for cell in cells)
    problems = list(dict.fromkeys(error.message for error in examined.problems))
    meanings = [(state, MEANINGS[state]) for state in MEANINGS if state in states]
    return Matrix(setting, splits, rows, figure, problems, meanings)


@dataclass(slots=True)
class _CellReader:
    """Reads cells; each job of which a result is published is read once."""

    setting: Setting
    figure: Figure
    examined: Examined
    open_jobs: Sequence[Job]
    site: MatrixSite
    jobs: dict[str, Job | None] = field(default_factory=dict)
    units: dict[tuple[str, str], tuple[Job, Unit]] = field(default_factory=dict)
    """Of the published results."""

    def cell(self, expert: str, split: str) -> Cell:
        """Build one cell."""
        for job in self.open_jobs:
            own = isinstance(job.request, RecomputeRequest) and self._is_own(job.request)
            unit = job.unit(expert, split) if own else None
            if unit is not None and not unit.state.ended:
                state: CellState = "running" if unit.state is UnitState.RUNNING else "queued"
                return Cell(expert, split, state, job=job.id, progress=Progress(unit.done, unit.total))
        return self._published(expert, split)

    def _is_own(self, request: RecomputeRequest) -> bool:
        """Tell whether a job writes into this matrix."""
        return (request.dataset, request.output_dir) == (self.setting.dataset, self.setting.output_dir)

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
        value = None if unit.report is None else unit.report.metrics.number(self.figure.name)
        return Cell(
            expert,
            split,
            "stale" if reasons else "kept",
            reasons,
            self.figure.text(value),
            verdict=unit.report.verdict if unit.report else None,
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

    def _same_data(self, request: RecomputeRequest, base: str) -> bool:
        now = self.examined.request.grounds.data.get(base) if self.examined.request else None
        return _plain(request.grounds.data.get(base)) == _plain(now)


def _plain(identity: object) -> object:
    """Write an identity as JSON has it, which knows no tuples."""
    if isinstance(identity, list | tuple):
        return [_plain(item) for item in identity]
    return identity


def _with_intervals(
    rows: Sequence[tuple[str, Sequence[Cell]]], reader: _CellReader, place: tuple[Dataset, Folder, MatrixSite]
) -> list[tuple[str, list[Cell]]]:
    """Add the intervals of results that were analysed before."""
    requests = {}
    for _, cells in rows:
        for cell in cells:
            if cell.state == "kept" and (request := _statistics_request(cell, reader, place)) is not None:
                requests[cell.expert, cell.split] = request
    answers = dict(zip(requests, reader.site.inspections.look_up(list(requests.values())), strict=True))
    return [
        (
            expert,
            [
                _with_interval(cell, reader.figure, answer.answer)
                if (answer := answers.get((cell.expert, cell.split))) is not None and answer.answer is not None
                else cell
                for cell in cells
            ],
        )
        for expert, cells in rows
    ]


def _statistics_request(cell: Cell, reader: _CellReader, place: tuple[Dataset, Folder, MatrixSite]) -> Any:
    dataset, folder, site = place
    job, unit = reader.units[cell.expert, cell.split]
    split = next((split for split in reader.examined.splits if split.name == cell.split), None)
    if split is None or unit.artifact is None or not isinstance(job.request, RecomputeRequest):
        return None
    path = artifact_path(site.catalog.settings.objects_dir, unit.artifact.sha256)
    threshold = job.request.standards.head_threshold
    subject = AnalysisSubject(path, unit.artifact.sha256, dataset, folder, split, threshold)
    try:
        return analysis_request("statistics", subject, site.catalog)
    except RequestError:  # the images are not there
        return None


def _with_interval(cell: Cell, figure: Figure, answer: Mapping[str, Any]) -> Cell:
    ends = Statistics.from_dict(answer).intervals.figures.get(figure.name)
    return cell if ends is None else replace(cell, interval=f"{figure.text(ends[0])}–{figure.text(ends[1])}")
