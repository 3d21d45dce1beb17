"""The matrix of the setting that a page asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Depends, Query

from app.api.dependencies import Services
from app.domain.errors import RequestError
from app.pages.matrix import Matrix, make_matrix, settings_of
from app.pages.matrix_cells import MatrixSite, Setting
from app.report.figures import FIGURES, Figure
from app.store.unit_tries import UnitTries


@dataclass(frozen=True, slots=True)
class ShownMatrix:
    """A matrix, and the settings and figures that may be chosen instead."""

    matrix: Matrix | None
    settings: Sequence[Setting]
    figures: Sequence[Figure]
    problem: str | None
    """Why there is no matrix."""


# async although it awaits nothing: FastAPI would run a plain function in a thread for each request.
async def _setting(
    dataset: Annotated[str | None, Query()] = None,
    splits_dir: Annotated[str | None, Query()] = None,
    experts_dir: Annotated[str | None, Query()] = None,
    prefix: Annotated[str, Query()] = "best_",
    output_dir: Annotated[str, Query()] = "logits_fixed",
) -> Setting | None:
    return None if dataset is None else Setting(dataset, splits_dir, experts_dir, prefix, output_dir)


SettingDep = Annotated[Setting | None, Depends(_setting)]


def show_matrix(services: Services, setting: Setting | None, figure: str) -> ShownMatrix:
    """Read a setting's matrix; that of the newest recompute job, if none is given."""
    site = MatrixSite(services.catalog, services.jobs, services.inspections, UnitTries(services.database))
    settings = settings_of(site)
    shown = setting or next(iter(settings), None)
    if shown is None:
        return ShownMatrix(
            None, [], FIGURES, "No data set is declared yet: datasets.toml in the data directory does that."
        )
    same = next((known for known in settings if _named(known, services) == _named(shown, services)), None)
    if same is None:
        settings = [shown, *settings]
    shown = same or shown
    try:
        return ShownMatrix(make_matrix(shown, figure, site), settings, FIGURES, None)
    except RequestError as error:
        return ShownMatrix(None, settings, FIGURES, error.message)


def _named(setting: Setting, services: Services) -> Setting:
    """Name the data set's own folders where a setting leaves them out."""
    try:
        dataset = services.catalog.dataset(setting.dataset)
    except RequestError:
        return setting
    splits, experts = setting.splits_dir or dataset.splits, setting.experts_dir or dataset.experts
    return replace(setting, splits_dir=splits, experts_dir=experts)
