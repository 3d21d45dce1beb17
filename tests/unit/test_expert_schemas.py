"""The API shows everything that workers find out about experts."""

from __future__ import annotations

from dataclasses import fields

import pytest
from pydantic import BaseModel

from app.api.expert_schemas import (
    AssumedView,
    CandidateView,
    ChannelOrderView,
    HintView,
    NormalisationView,
    PassportView,
    StoredAccuracyView,
)
from worker.experts.assumptions import Assumed
from worker.experts.loading import Passport
from worker.experts.stored_numbers import StoredAccuracy
from worker.normalisation.candidates import Candidate
from worker.normalisation.channel_order import ChannelOrder
from worker.normalisation.evidence import Hint, NormalisationEvidence


@pytest.mark.parametrize(
    ("view", "answer", "added"),
    [
        (PassportView, Passport, []),
        (AssumedView, Assumed, []),
        (StoredAccuracyView, StoredAccuracy, []),
        (NormalisationView, NormalisationEvidence, ["channel_order", "base"]),
        (ChannelOrderView, ChannelOrder, []),
        (CandidateView, Candidate, []),
        (HintView, Hint, []),
    ],
)
def test_a_view_has_the_fields_of_the_answer(view: type[BaseModel], answer: type, added: list[str]) -> None:
    """A model drops fields that it does not have: a new one of the worker's would vanish in silence."""
    assert list(view.model_fields) == [field.name for field in fields(answer)] + added


@pytest.mark.parametrize("value", [True, 1, 0.5, "symmetric", [1, 2, 2]])
def test_an_assumed_value_keeps_its_type(value: object) -> None:
    """`true` is no 1 and 1 no 1.0: the value is what somebody would declare."""
    view = AssumedView.model_validate({"what": "w", "value": value, "basis": "assumed", "override": "o"})
    assert type(view.value) is type(value)
    assert view.model_dump(mode="json")["value"] == value
