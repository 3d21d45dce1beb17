"""Analyses of results: intervals and curves, and causes of a failure."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.analyses import analyse_job
from app.api.dependencies import ServicesDep
from app.api.parameters import MAX_WAIT_S, JobId
from app.api.verdict_schemas import AnalysisView
from app.domain.analyses import AnalysisPart

router = APIRouter(prefix="/jobs/{job_id}", tags=["verifications"])


@router.get("/analysis")
async def analysis(
    job_id: JobId,
    services: ServicesDep,
    part: Annotated[AnalysisPart, Query(description="Intervals and curves, or causes of a failure.")] = "statistics",
    wait: Annotated[float, Query(ge=0, description="Seconds to wait for what is not known yet, 60 at most.")] = 10.0,
) -> AnalysisView:
    """Analyse the results of a job, file by file.

    A worker analyses a file on the first request; `complete` tells whether all answers are there. The `state` of
    each result is `ready`, `pending`, `failed` (with `error`), or `none`: nothing to analyse.
    """
    return AnalysisView.of(job_id, await analyse_job(services, job_id, part, min(wait, MAX_WAIT_S)))
