"""The matrix of experts by splits, and what selected cells would cost."""

from __future__ import annotations

import asyncio
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from fastapi.responses import Response

from app.api.dependencies import ServicesDep
from app.api.html import page_answer
from app.api.matrix_views import SettingDep, show_matrix
from app.api.planning import plan_recompute
from app.domain.errors import RequestError
from app.pages.selection import selected_bodies, show_plans
from app.pages.templating import render

router = APIRouter(include_in_schema=False)


@router.get("/ui/matrix")
def matrix(services: ServicesDep, setting: SettingDep, figure: str = "accuracy") -> Response:
    """Show the matrix alone, as the overview fetches it again."""
    return page_answer(render("matrix.html", matrix=show_matrix(services, setting, figure)))


@router.get("/ui/plan")
async def plan(services: ServicesDep, setting: SettingDep, cell: Annotated[list[str], Query()] = []) -> Response:  # noqa: B006 — FastAPI copies it
    """Show what the selected cells would cost, and the button that runs them."""
    try:
        if setting is None:
            raise RequestError("unknown-dataset", "There is no data set; `datasets.toml` declares them.")
        bodies = await run_sync(selected_bodies, setting, cell)
        plans = await asyncio.gather(*(plan_recompute(services, body) for body in bodies))
    except RequestError as error:
        return page_answer(render("plan.html", plan=None, problem=error.message))
    return page_answer(render("plan.html", plan=show_plans(bodies, plans), problem=None))
