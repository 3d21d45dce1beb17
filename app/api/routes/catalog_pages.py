"""Pages of what is on disk: experts with their passports, and sets of splits."""

from __future__ import annotations

import asyncio

from anyio.to_thread import run_sync
from fastapi import APIRouter
from fastapi.responses import Response

from app.api.dependencies import ServicesDep
from app.api.expert_schemas import ExpertList
from app.api.expert_views import list_passports, show_passport
from app.api.html import page_answer
from app.api.matrix_views import SettingDep
from app.api.parameters import SetName
from app.api.set_views import list_sets, set_folder, show_set, shown_set
from app.api.split_schemas import SetSummary
from app.api.waiting import await_inspections
from app.domain.errors import RequestError
from app.pages.experts import expert_page
from app.pages.templating import render
from app.report.split_picture import split_set
from app.store.inspection_requests.splits import AuditRequest

router = APIRouter(include_in_schema=False)


@router.get("/ui/experts")
async def experts(services: ServicesDep, setting: SettingDep) -> Response:
    """Show the experts of each data set; of one, if the address names it."""
    names = [setting.dataset] if setting else list(await run_sync(services.catalog.datasets))
    prefix, folder = (setting.prefix, setting.experts_dir) if setting else ("best_", None)
    groups: list[tuple[str, ExpertList | None, str | None]] = []
    for name in names:
        try:
            groups.append((name, await list_passports(services, name, prefix, folder), None))
        except RequestError as error:
            groups.append((name, None, error.message))
    return page_answer(render("experts.html", groups=groups))


@router.get("/ui/experts/{name}")
async def expert(name: str, services: ServicesDep, setting: SettingDep) -> Response:
    """Show an expert's passport, what was assumed first."""
    if setting is None:
        raise RequestError("invalid-value", "The address has to name the data set: ?dataset=NAME.")
    detail = await show_passport(services, name, setting.dataset, setting.prefix, setting.experts_dir)
    return page_answer(render("expert.html", page=expert_page(detail.model_dump(by_alias=True)), setting=setting))


@router.get("/ui/splits")
async def sets(services: ServicesDep) -> Response:
    """Show the sets of splits of each data set."""
    groups: list[tuple[str, list[SetSummary], str | None]] = []
    for name in await run_sync(services.catalog.datasets):
        try:
            groups.append((name, await run_sync(list_sets, name, services.catalog), None))
        except RequestError as error:
            groups.append((name, [], error.message))
    return page_answer(render("sets.html", groups=groups))


@router.get("/ui/splits/{name:path}")
async def one_set(name: SetName, services: ServicesDep, dataset: str) -> Response:
    """Show a set of splits: its lists, their classes, and its audit."""
    declared = services.catalog.dataset(dataset)
    folder = await run_sync(set_folder, services.catalog, declared, name)
    pictures = declared.kind != "imagefolder"
    request = await run_sync(lambda: AuditRequest.of(declared, folder, services.catalog, pictures=pictures))
    view, [audit] = await asyncio.gather(
        show_set(services, dataset, declared, name), await_inspections(services, [request])
    )
    shown = split_set(shown_set(view, ()))
    return page_answer(render("set.html", view=view, shown=shown, audit=audit))
