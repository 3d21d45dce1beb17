"""The table of inspections: which function carries out each kind of request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.catalog.catalog import Catalog
from app.store.inspection_requests.analysis import CausesRequest, StatisticsRequest
from app.store.inspection_requests.experts import NormalisationRequest, PassportRequest
from app.store.inspection_requests.request import InspectionRequest
from app.store.inspection_requests.splits import AuditRequest, GroupsRequest, PoolRequest, SplitCountsRequest
from worker.datasets.pools import Pools
from worker.inspections.analysis import Analyst
from worker.inspections.audit import Auditor
from worker.inspections.experts import DeclarationInspector, inspect_passport
from worker.inspections.normalisation import NormalisationInspector
from worker.inspections.pools import PoolInspector

Handlers = Mapping[type[InspectionRequest], Callable[[Any], dict[str, Any]]]
"""Kind of request → the function that takes such a request and returns its answer."""


def all_handlers(catalog: Catalog, pools: Pools, normalisation: NormalisationInspector) -> Handlers:
    """Make the handler of each kind of inspection."""
    bases, analyst, auditor = PoolInspector(catalog, pools), Analyst(catalog, pools), Auditor(catalog, pools)
    return {
        PassportRequest: inspect_passport,
        NormalisationRequest: DeclarationInspector(catalog, pools, normalisation).inspect,
        PoolRequest: bases.pool,
        SplitCountsRequest: bases.split_counts,
        StatisticsRequest: analyst.statistics,
        CausesRequest: analyst.causes,
        AuditRequest: auditor.audit,
        GroupsRequest: auditor.groups,
    }
