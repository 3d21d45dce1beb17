"""Requests as they are stored: what comes back is what was accepted."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import get_args

import pytest

from app.domain.combine_requests import EvaluationRequest, GatingRequest, RejectorRequest
from app.domain.compare_requests import ComparisonRequest
from app.domain.job_kinds import JOB_KINDS, read_request
from app.domain.requests import Kind, LogitFile, RecomputeRequest, Request, SplitsRequest, VerificationRequest
from app.domain.run_requests import RunRequest
from app.domain.standards import Standards
from tests.fakes import job_request

STRICT = Standards(head_threshold=7, floors={"tail_accuracy": 0.25, "accuracy": 0.5})
VERIFICATION = VerificationRequest(
    dataset="digits",
    splits_dir="digits_splits",
    path=None,
    upload="0" * 32,
    files=(LogitFile("ce/val_logits.npz", "ce", "val"), LogitFile("b/ce/val_logits.pt", "ce", "val")),
    others=("ce/notes.npy", "späte.npz"),
    declaration={"kind": "npz", "bases": {"train": "train"}},
    standards=STRICT,
)

SPLITS = SplitsRequest(
    dataset="digits",
    name="lt",
    train_base="train",
    test_base="test",
    profile="step",
    imbalance_factor=2.5,
    seed=7,
    test_shares=(8, 1, 1),
    expert_share=None,
    overwrite=False,
    declaration={"kind": "npz"},
)


@pytest.mark.parametrize(
    "request_",
    [
        job_request(),
        replace(job_request(), batch_size="auto", precision="bf16", reuse=False, declaration={"a": [1, {}]}),
        replace(job_request(), standards=STRICT),
        VERIFICATION,
        replace(VERIFICATION, recompute=50, checkpoint_prefix="", experts_dir="experts/other"),
        replace(VERIFICATION, files=(LogitFile("ce/val_logits.pt", "ce", "val", "ce/val_labels.pt"),)),
        SPLITS,
        replace(SPLITS, expert_share=0.9, overwrite=True),
        replace(VERIFICATION, path="logits_fixed", upload=None, files=(), others=(), standards=Standards()),
    ],
)
def test_a_request_comes_back_as_it_was_accepted(request_: Request) -> None:
    """Through JSON and its kind, to an equal value."""
    stored = json.dumps(request_.to_dict())
    assert read_request(request_.kind, json.loads(stored)) == request_


def test_each_kind_has_a_name_of_its_own() -> None:
    """By which the store knows what to read."""
    kinds = {
        "recompute": RecomputeRequest,
        "verification": VerificationRequest,
        "splits": SplitsRequest,
        "gating": GatingRequest,
        "rejector": RejectorRequest,
        "evaluation": EvaluationRequest,
        "comparison": ComparisonRequest,
        "run": RunRequest,
    }
    assert {name: kind.request for name, kind in JOB_KINDS.items()} == kinds
    assert set(JOB_KINDS) == set(get_args(Kind))
    assert all(kind.request.kind == name for name, kind in JOB_KINDS.items())


def test_requests_of_earlier_versions_can_be_read() -> None:
    """Stores outlive versions: what was not asked then is as it is by default."""
    stored = job_request().to_dict()
    for later in ("standards", "precision", "reuse"):
        del stored[later]
    assert RecomputeRequest.from_dict(stored) == job_request()
    stored = VERIFICATION.to_dict()
    for later in ("recompute", "checkpoint_prefix", "experts_dir"):
        del stored[later]
    for file in stored["files"]:
        del file["targets"]
    assert VerificationRequest.from_dict(stored) == VERIFICATION
