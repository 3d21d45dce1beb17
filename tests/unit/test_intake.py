"""Intake: a right request becomes a plan; in a wrong one, every wrong item is named at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from app.catalog.checkpoints import check_temperature
from app.domain.errors import JobError, Refused
from app.domain.jobs import UnitPlan
from app.domain.requests import RecomputeRequest
from app.store.database import Database
from app.store.inspection_requests.experts import PassportRequest
from app.store.inspections import InspectionStore
from app.submission.bodies import RecomputeBody
from app.submission.recompute import examine, plan
from tests.fakes import ARITHMETIC, BODY, Home, changed, refused


@pytest.fixture
def inspections(database: Database) -> InspectionStore:
    return InspectionStore(database)


CARD = {"classes": 3, "temperature": None, "sha256": "s", "largest_parameter": 2.5}
"""What a request asks of a passport."""


def planned(home: Home, inspections: InspectionStore, **changes: Any) -> tuple[RecomputeRequest, list[UnitPlan]]:
    return plan(changed(BODY, **changes), home.catalog(), inspections, [ARITHMETIC])


def problems(home: Home, inspections: InspectionStore, **changes: Any) -> dict[str, str]:
    """The refusal's problems: where in the request → code."""
    with pytest.raises(Refused) as caught:
        planned(home, inspections, **changes)
    return {problem.details["pointer"]: problem.code for problem in caught.value.problems}


def know(home: Home, inspections: InspectionStore, file: str, result: dict[str, Any] | JobError) -> None:
    declared = home.catalog().dataset("digits")
    inspections.record(PassportRequest.of(home.experts / file, declared), result)


# --- what is accepted ---------------------------------------------------------------------------------


def test_a_right_request_becomes_one_unit_for_each_pair_in_the_order_given(
    home: Home, inspections: InspectionStore
) -> None:
    """Experts in the order given, within each the splits; every default is filled in."""
    request, units = planned(home, inspections, experts=("ce", "bal"), splits=("test", "val"))
    assert [(u.expert, u.split, u.total) for u in units] == [
        ("ce", "test", 4), ("ce", "val", 3), ("bal", "test", 4), ("bal", "val", 3)
    ]  # fmt: skip
    assert len({u.split_sha256 for u in units}) == 2
    assert (request.experts_dir, request.splits_dir) == ("experts/digits", "digits_splits")
    assert request.experts == ("ce", "bal")


def test_omitted_experts_mean_all_under_the_prefix(home: Home, inspections: InspectionStore) -> None:
    """In order of name, and only that prefix's."""
    home.write_checkpoint("stage1_old.pth")
    assert planned(home, inspections)[0].experts == ("bal", "ce")
    assert planned(home, inspections, checkpoint_prefix="")[0].experts == ("best_bal", "best_ce", "stage1_old")


def test_a_named_experts_folder_is_recorded_as_it_was_found(home: Home, inspections: InspectionStore) -> None:
    """The subfolder called like the data set, not the folder above it."""
    assert planned(home, inspections, experts_dir="experts")[0].experts_dir == "experts/digits"


def test_good_passports_let_a_request_through(home: Home, inspections: InspectionStore) -> None:
    """What is known and fits refuses nothing; what is not known waits for a worker."""
    know(home, inspections, "best_ce.pth", CARD | {"temperature": 1.5})
    assert len(planned(home, inspections, calibration="checkpoint")[1]) == 4


def test_a_passport_belongs_to_the_file_as_it_was(home: Home, inspections: InspectionStore) -> None:
    """A file that was written again is another one, and what was wrong with the old one does not count."""
    know(home, inspections, "best_ce.pth", JobError("checkpoint-invalid", "Bad."))
    (home.experts / "best_ce.pth").write_bytes(b"better weights")
    assert planned(home, inspections)[0].experts == ("bal", "ce")


def test_precision_and_reuse_are_recorded(home: Home, inspections: InspectionStore) -> None:
    """As they were asked for."""
    request, _ = planned(home, inspections, precision="bf16", reuse=False)
    assert (request.precision, request.reuse) == ("bf16", False)


def test_any_precision_is_taken_while_no_worker_lives(home: Home, inspections: InspectionStore) -> None:
    """Whoever starts may offer it; with several workers one that does is enough."""
    body = changed(BODY, precision="tf32")
    assert plan(body, home.catalog(), inspections)[0].precision == "tf32"
    gpu = replace(ARITHMETIC, device="cuda", precisions=("fp32", "tf32"))
    assert plan(body, home.catalog(), inspections, [ARITHMETIC, gpu])[0].precision == "tf32"
    with refused("precision-unavailable", "tf32", "fp32, bf16 would have been right"):
        plan(body, home.catalog(), inspections, [ARITHMETIC, ARITHMETIC])


def test_what_is_right_is_found_beside_what_is_wrong(home: Home, inspections: InspectionStore) -> None:
    """Each once and in the order given, and the request as far as folders and names go."""
    body = changed(BODY, experts=("ce", "nobody", "bal", "ce"), splits=("gone", "val", "val"))
    found = examine(body, home.catalog(), inspections)
    assert [problem.code for problem in found.problems] == [
        "repeated-name", "unknown-expert", "repeated-name", "unknown-split"
    ]  # fmt: skip
    assert [expert.name for expert in found.experts] == ["ce", "bal"]
    assert [split.name for split in found.splits] == ["val"]
    assert found.request is not None
    assert found.request.experts_dir == "experts/digits"
    assert examine(changed(BODY, splits_dir="nowhere"), home.catalog(), inspections).request is None


# --- what is refused ----------------------------------------------------------------------------------


def test_every_wrong_item_is_named_at_once(home: Home, inspections: InspectionStore) -> None:
    """Experts, splits and the output folder in one answer, each with its place in the request."""
    home.write_split("odd", [0, 99])
    home.write_split("text", b"no json")
    assert problems(
        home, inspections,
        experts=("ce", "no1", "a/b", "no2", "ce"), splits=("val", "gone", "odd", "text"), output_dir="../up",
    ) == {
        "#/output_dir": "invalid-name", "#/experts/1": "unknown-expert", "#/experts/2": "invalid-name",
        "#/experts/3": "unknown-expert", "#/experts/4": "repeated-name", "#/splits/1": "unknown-split",
        "#/splits/2": "split-out-of-range", "#/splits/3": "split-invalid",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"dataset": "nope"}, {"#/dataset": "unknown-dataset"}),
        ({"dataset": "nope", "output_dir": "/x"}, {"#/dataset": "unknown-dataset", "#/output_dir": "invalid-name"}),
        ({"checkpoint_prefix": "last_"}, {"#/checkpoint_prefix": "unknown-prefix"}),
        ({"checkpoint_prefix": "../"}, {"#/checkpoint_prefix": "invalid-name"}),
        ({"output_dir": ".relogit"}, {"#/output_dir": "reserved-name"}),
        ({"output_dir": "a/b"}, {"#/output_dir": "invalid-name"}),
        ({"output_dir": "a\0b"}, {"#/output_dir": "invalid-name"}),
        ({"output_dir": ""}, {"#/output_dir": "invalid-name"}),
        ({"experts_dir": "/etc"}, {"#/experts_dir": "invalid-name"}),
        ({"experts_dir": "nowhere"}, {"#/experts_dir": "experts-dir-missing"}),
        ({"splits_dir": "../x"}, {"#/splits_dir": "invalid-name"}),
        ({"splits_dir": "nowhere"}, {"#/splits_dir": "splits-dir-missing"}),
        ({"experts": ("..",)}, {"#/experts/0": "invalid-name"}),
        ({"experts": ("",)}, {"#/experts/0": "invalid-name"}),
        ({"splits": ("val", "val")}, {"#/splits/1": "repeated-name"}),
        ({"splits": ("../val",)}, {"#/splits/0": "invalid-name"}),
        ({"precision": "tf32"}, {"#/precision": "precision-unavailable"}),
    ],
)
def test_a_wrong_item_is_refused_at_its_place(
    home: Home, inspections: InspectionStore, changes: dict[str, Any], expected: dict[str, str]
) -> None:
    """The code says what is wrong, the pointer where, and nothing else is complained about."""
    assert problems(home, inspections, **changes) == expected


def test_an_experts_output_folder_that_is_a_file_is_refused(home: Home, inspections: InspectionStore) -> None:
    """Before anything is computed for it."""
    (home.settings.outputs_dir / "logits_fixed").mkdir(parents=True)
    (home.settings.outputs_dir / "logits_fixed" / "ce").touch()
    assert problems(home, inspections) == {"#/output_dir": "output-dir-unusable"}


def test_one_fault_of_the_server_is_told_once(home: Home, inspections: InspectionStore) -> None:
    """Missing images concern every split; one sentence is enough."""
    (home.data / "digits" / "test.npz").unlink()
    (home.data / "digits" / "train.npz").unlink()
    assert set(problems(home, inspections).values()) == {"data-missing"}
    assert len(problems(home, inspections)) == 1


def test_a_missing_data_directory_is_refused(home: Home, inspections: InspectionStore) -> None:
    """With the variable to set."""
    home.data.rename(home.data.with_name("moved"))
    with refused("data-dir-missing", "RELOGIT_DATA_DIR"):
        planned(home, inspections)


def test_an_empty_experts_folder_is_the_folders_fault(home: Home, inspections: InspectionStore) -> None:
    """No prefix would have been right there."""
    (home.settings.checkpoints_dir / "empty").mkdir()
    assert problems(home, inspections, experts_dir="empty") == {"#/experts_dir": "unknown-prefix"}


def test_two_files_of_one_stem_are_refused_even_when_no_expert_is_named(
    home: Home, inspections: InspectionStore
) -> None:
    """Omitted experts mean all, and one of all is ambiguous."""
    home.write_checkpoint("best_ce.pt")
    assert problems(home, inspections) == {"#/experts": "checkpoint-ambiguous"}


# --- what a worker found out --------------------------------------------------------------------------


def test_a_checkpoint_known_to_be_bad_is_refused_in_the_workers_own_words(
    home: Home, inspections: InspectionStore
) -> None:
    """Same code, same text, same details as on a unit that failed of it."""
    error = JobError("checkpoint-mismatch", "Two are missing.", missing=["a", "b"])
    know(home, inspections, "best_ce.pth", error)
    with pytest.raises(Refused) as caught:
        planned(home, inspections, experts=("bal", "ce"))
    [problem] = caught.value.problems
    assert (problem.code, problem.message) == ("checkpoint-mismatch", "Two are missing.")
    assert problem.details == {"missing": ["a", "b"], "pointer": "#/experts/1"}


def test_an_expert_of_other_classes_is_refused_once_its_passport_is_known(
    home: Home, inspections: InspectionStore
) -> None:
    """Both numbers are named."""
    know(home, inspections, "best_bal.pt", CARD | {"classes": 100})
    with refused("classes-mismatch", "best_bal.pt has 100 outputs", "digits has 3 classes"):
        planned(home, inspections)


def test_a_parameter_beyond_the_precision_is_refused(home: Home, inspections: InspectionStore) -> None:
    """What a passport says of the largest parameter is held against the precision before anything is queued."""
    know(home, inspections, "best_ce.pth", CARD | {"largest_parameter": 3.39e38})
    assert problems(home, inspections, experts=("ce",)) == {"#/experts/0": "weights-overflow"}


def test_calibration_without_a_stored_temperature_is_refused(home: Home, inspections: InspectionStore) -> None:
    """The refusal names both ways out; raw logits need no temperature."""
    know(home, inspections, "best_ce.pth", CARD)
    with refused("no-temperature", "best_ce.pth", "final_calibrated_", "calibration 'none'"):
        planned(home, inspections, calibration="checkpoint")
    assert planned(home, inspections, calibration="none")
    assert check_temperature("x.pth", 0.7) == 0.7


# --- the body of POST /jobs ---------------------------------------------------------------------------


def test_a_body_may_leave_everything_out() -> None:
    """The defaults are the old scripts'."""
    assert RecomputeBody.model_validate({}).model_dump() == {
        "dataset": "cifar100_lt_if100", "experts": None, "checkpoint_prefix": "best_",
        "splits": ("val", "test", "tunev"), "experts_dir": None, "splits_dir": None, "output_dir": "logits_fixed",
        "batch_size": 128, "calibration": "none", "precision": "fp32", "reuse": True, "weights": None,
        "head_threshold": 20, "floors": {}, "deadline_s": None,
    }  # fmt: skip
    assert RecomputeBody.model_validate({"prefix": "stage1_"}).checkpoint_prefix == "stage1_"


@pytest.mark.parametrize(
    "body",
    [
        {"experts": []}, {"splits": []}, {"splits": None}, {"experts": "ce"}, {"experts": [1]}, {"colour": "red"},
        {"batch_size": 0}, {"batch_size": -1}, {"batch_size": True}, {"batch_size": 1.0}, {"batch_size": "64"},
        {"batch_size": "Auto"}, {"batch_size": 10**30}, {"batch_size": None}, {"calibration": "temperature"},
        {"output_dir": None}, {"checkpoint_prefix": None}, {"precision": "fp64"}, {"precision": None},
        {"reuse": 1}, {"reuse": "yes"}, {"reuse": None},
    ],
)  # fmt: skip
def test_a_wrong_body_is_refused_before_anything_is_looked_at(body: dict[str, Any]) -> None:
    """Unknown fields, empty lists, other types and numbers out of range never reach the core."""
    with pytest.raises(ValidationError) as caught:
        RecomputeBody.model_validate(body)
    assert caught.value.errors()[0]["loc"][0] in body


def test_both_names_of_the_prefix_are_one_too_many() -> None:
    """Neither is chosen in silence."""
    with pytest.raises(ValidationError, match="give one of them"):
        RecomputeBody.model_validate({"prefix": "a", "checkpoint_prefix": "b"})


@pytest.mark.parametrize("empty", ["experts", "splits"])
def test_a_plan_without_experts_or_splits_is_refused(home: Home, inspections: InspectionStore, empty: str) -> None:
    """The core does not rely on the body's own checks."""
    assert problems(home, inspections, **{empty: ()}) == {f"#/{empty}": "empty-list"}


def test_a_wrong_name_is_named_beside_a_wrong_prefix(home: Home, inspections: InspectionStore) -> None:
    """Every wrong item that can be seen to be wrong is named at once."""
    assert "#/experts/0" in problems(home, inspections, checkpoint_prefix="last_", experts=("a/b",))
