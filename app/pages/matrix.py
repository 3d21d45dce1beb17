"""The matrix of experts by splits: what is there, what no longer fits, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.catalog.datasets import Dataset
from app.catalog.folders import Folder
from app.domain.analyses import Statistics
from app.domain.errors import RequestError
from app.domain.requests import RecomputeRequest
from app.files.artifacts import artifact_path
from app.pages.matrix_cells import MEANINGS, Cell, CellReader, CellState, MatrixSite, Setting
from app.report.figures import FIGURES, Figure
from app.store.inspection_requests.analysis import AnalysisSubject, analysis_request
from app.submission.recompute import Examined, examine

RECENT = 50
"""Newest recompute jobs whose settings are offered, and whose failures are shown."""


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


def settings_of(site: MatrixSite) -> list[Setting]:
    """List the settings of the newest jobs, then those of data sets without a job; each once."""
    settings = [Setting(*fields) for fields in site.tries.settings(RECENT)]
    known = {setting.dataset for setting in settings}
    return [*settings, *(Setting(name) for name in site.catalog.datasets() if name not in known)]


def make_matrix(setting: Setting, figure_name: str, site: MatrixSite) -> Matrix:
    """Read what is published, and compare it with the files that it was computed from.

    Nothing is computed, and a file of logits is only read to compare its digest, once after it was changed.

    Raises:
        RequestError: there is no such data set or folder.
    """
    dataset = site.catalog.dataset(setting.dataset)
    folder = site.catalog.splits_folder(dataset, setting.splits_dir)
    splits = site.catalog.split_names(folder)
    examined = examine(setting.body(splits=splits), site.catalog, site.inspections) if splits else Examined([])
    figure = next((f for f in FIGURES if f.name == figure_name), FIGURES[0])
    tries = site.tries.newest(setting.dataset, setting.output_dir, RECENT)
    reader = CellReader(setting, figure, examined, tries, site)
    experts = list(examined.request.experts) if examined.request is not None else []
    rows = [(expert, [reader.cell(expert, split) for split in splits]) for expert in experts]
    rows = _with_intervals(rows, reader, (dataset, folder, site))
    states = dict.fromkeys(cell.state for _, cells in rows for cell in cells)
    problems = list(dict.fromkeys(error.message for error in examined.problems))
    meanings = [(state, MEANINGS[state]) for state in MEANINGS if state in states]
    return Matrix(setting, splits, rows, figure, problems, meanings)


def _with_intervals(
    rows: Sequence[tuple[str, Sequence[Cell]]], reader: CellReader, place: tuple[Dataset, Folder, MatrixSite]
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


def _statistics_request(cell: Cell, reader: CellReader, place: tuple[Dataset, Folder, MatrixSite]) -> Any:
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
