"""Experts: which checkpoints there are, and what workers recognised in them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.dependencies import ServicesDep
from app.api.expert_schemas import ExpertDetail, ExpertList
from app.api.expert_views import list_passports, show_passport
from app.api.parameters import DatasetName
from app.catalog.datasets import DEFAULT_DATASET

router = APIRouter(prefix="/experts", tags=["experts"])

Prefix = Annotated[str, Query(description="What stands before the expert's name in its file name.")]
FolderName = Annotated[str | None, Query(description="Below the checkpoint directory; the data set's own.")]


@router.get("")
async def list_experts(
    services: ServicesDep,
    dataset: DatasetName = DEFAULT_DATASET,
    prefix: Prefix = "best_",
    experts_dir: FolderName = None,
) -> ExpertList:
    """List the experts under a prefix, with passports or problems.

    Workers read the files; one that none has read within ten seconds is `unread`.
    """
    return await list_passports(services, dataset, prefix, experts_dir)


@router.get("/{name}")
async def get_expert(
    name: str,
    services: ServicesDep,
    dataset: DatasetName = DEFAULT_DATASET,
    prefix: Prefix = "best_",
    experts_dir: FolderName = None,
) -> ExpertDetail:
    """Show an expert: its passport, and evidence about mean and std.

    `normalisation` is null where the images are not there, where no worker has looked within ten seconds, and for
    image folders, which are decoded for jobs only. `proposal` has lines for `datasets.toml` that would fit better.
    """
    return await show_passport(services, name, dataset, prefix, experts_dir)
