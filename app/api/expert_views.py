"""Views of experts: what workers recognised in the checkpoints of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from anyio.to_thread import run_sync

from app.api.dependencies import Services
from app.api.expert_schemas import (
    DeclaredTransformView,
    ExpertDetail,
    ExpertList,
    ExpertView,
    NormalisationView,
    PassportView,
)
from app.api.schemas import ErrorView
from app.api.waiting import await_inspections
from app.catalog.catalog import Catalog
from app.catalog.checkpoints import check_classes
from app.catalog.datasets import DEFAULT_BASE, Dataset
from app.catalog.folders import Folder
from app.catalog.normalisation import proposal
from app.domain.errors import NotFound, RequestError
from app.domain.names import check_name
from app.store.inspection_requests.experts import NormalisationRequest, PassportRequest
from app.store.inspection_requests.request import InspectionRequest
from app.store.inspections import Inspection

Unfinished = tuple[ExpertView, InspectionRequest | None]
"""An expert without its passport, and the inspection that finds it; None where the file cannot be used."""


@dataclass(frozen=True, slots=True)
class _Site:
    """Where a request looks for experts."""

    dataset_name: str
    dataset: Dataset
    folder: Folder
    prefix: str
    classes: int | None
    """Of the data set; None where its images are not there, so that its experts can be shown all the same."""

    @classmethod
    def read(cls, catalog: Catalog, dataset_name: str, prefix: str, experts_dir: str | None) -> _Site:
        """Read what is declared.

        Raises:
            RequestError: `unknown-dataset`, or an invalid name.
        """
        dataset = catalog.dataset(dataset_name)
        folder = catalog.experts_folder(dataset_name, dataset, experts_dir)
        check_name("prefix", prefix, may_be_empty=True)
        try:
            classes = catalog.bases.classes(dataset)
        except RequestError:
            classes = None
        return cls(dataset_name, dataset, folder, prefix, classes)


async def list_passports(services: Services, dataset: str, prefix: str, experts_dir: str | None) -> ExpertList:
    """List the experts under a prefix, with passports or problems.

    Raises:
        RequestError: there is no such data set, folder or prefix.
    """
    catalog = services.catalog

    def read_experts() -> tuple[_Site, list[Unfinished], list[str]]:
        site = _Site.read(catalog, dataset, prefix, experts_dir)
        names = catalog.experts(site.folder, prefix)
        if not names and catalog.experts(site.folder, ""):
            raise _not_found(catalog.unknown_prefix(site.folder, prefix))
        views = [_read_expert(site, name, catalog) for name in names]
        return site, views, catalog.unused_overrides(site.dataset, site.folder)

    site, views, unused = await run_sync(read_experts)
    await _add_passports(services, site, views)
    experts, folder = [view for view, _ in views], site.folder.name
    return ExpertList(dataset=dataset, experts_dir=folder, prefix=prefix, experts=experts, unused_overrides=unused)


async def show_passport(
    services: Services, name: str, dataset: str, prefix: str, experts_dir: str | None
) -> ExpertDetail:
    """Show an expert: its passport, and evidence about mean and std.

    Raises:
        RequestError: there is no such expert, data set or folder.
    """

    def read_expert() -> tuple[_Site, Unfinished]:
        site = _Site.read(services.catalog, dataset, prefix, experts_dir)
        view, request = _read_expert(site, name, services.catalog)
        if view.problem is not None and view.problem.code in ("unknown-expert", "unknown-prefix"):
            raise _not_found(RequestError.from_dict(view.problem.model_dump()))
        return site, (view, request)

    site, expert = await run_sync(read_expert)
    await _add_passports(services, site, [expert])
    view, _ = expert
    detail = ExpertDetail(**dict(view), normalisation=None, proposal=[])
    if view.state == "ready":
        await _add_normalisation(services, site, detail)
    return detail


def _read_expert(site: _Site, name: str, catalog: Catalog) -> Unfinished:
    """Read an expert's file, without its passport; build the request for that, if possible."""
    view = ExpertView(name=name, file=None, state="bad", passport=None, problem=None, transform=None)
    try:
        path = catalog.checkpoint(site.folder, site.prefix, name)
        view.file = path.name
        site.dataset.check_override(path.stem, name)
        transform = site.dataset.transform(path.stem).model_dump(mode="json")
        own = site.dataset.override(path.stem).mean is not None
        view.transform = DeclaredTransformView(**transform, source="override" if own else "data set")
        return view, PassportRequest.of(path, site.dataset)
    except RequestError as error:
        view.problem = ErrorView.model_validate(error.to_dict())
        return view, None


async def _add_passports(services: Services, site: _Site, experts: list[Unfinished]) -> None:
    """Add to each expert that can be inspected what workers found."""
    requests = [request for _, request in experts if request is not None]
    inspections = iter(await await_inspections(services, requests))
    for view, request in experts:
        if request is not None:
            _add_passport(site, view, next(inspections))


def _add_passport(site: _Site, view: ExpertView, inspection: Inspection) -> None:
    if inspection.error is not None:
        view.problem = ErrorView.model_validate(inspection.error)
        return
    if inspection.answer is None:
        view.state = "unread"
        return
    view.state, view.passport = "ready", PassportView.model_validate(inspection.answer)
    try:
        if site.classes is not None:
            check_classes(str(view.file), view.passport.classes, site.dataset_name, site.classes)
    except RequestError as error:
        view.state, view.problem = "bad", ErrorView.model_validate(error.to_dict())


async def _add_normalisation(services: Services, site: _Site, detail: ExpertDetail) -> None:
    """Add the checkpoint's evidence about mean and std, where there are images."""
    if site.dataset.kind == "imagefolder":
        return

    def request_evidence() -> InspectionRequest | None:
        path = services.catalog.checkpoint(site.folder, site.prefix, detail.name)
        try:
            return NormalisationRequest.of(path, site.dataset_name, site.dataset, DEFAULT_BASE, services.catalog)
        except RequestError:  # the images are not there
            return None

    request = await run_sync(request_evidence)
    if request is None:
        return
    [inspection] = await await_inspections(services, [request])
    if inspection.answer is not None:
        detail.normalisation = NormalisationView.model_validate(inspection.answer)
        detail.proposal = proposal(inspection.answer, site.dataset_name, PurePath(str(detail.file)).stem)


def _not_found(error: RequestError) -> NotFound:
    return NotFound(error.code, error.message, **error.details)
