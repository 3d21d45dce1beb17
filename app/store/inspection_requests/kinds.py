"""Every kind of inspection."""

from __future__ import annotations

from collections.abc import Mapping

from app.store.inspection_requests.analysis import CausesRequest, StatisticsRequest
from app.store.inspection_requests.experts import NormalisationRequest, PassportRequest
from app.store.inspection_requests.request import InspectionRequest
from app.store.inspection_requests.splits import AuditRequest, GroupsRequest, PoolRequest, SplitCountsRequest

INSPECTION_REQUESTS: Mapping[str, type[InspectionRequest]] = {
    request.kind: request
    for request in (
        PassportRequest,
        NormalisationRequest,
        PoolRequest,
        SplitCountsRequest,
        StatisticsRequest,
        CausesRequest,
        AuditRequest,
        GroupsRequest,
    )
}
"""By kind. `worker.inspections.handlers` has a handler for each."""
