"""Intake: a right request becomes a plan; in a wrong one, every wrong item is named at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from app.catalog.catalog import check_temperature
from app.store.database import Database
from app.domain.errors import JobError, Refused
from app.store.inspections import FactStore
from app.submission.recompute import examine, plan
from app.domain.jobs import UnitPlan
from app.store.inspection_requests import passport_question
from app.domain.requests import RecomputeRequest
from app.api.schemas import RecomputeBody
from tests.fakes import ARITHMETIC, ORDER, Home, refused


@pytest.fixture
def facts(database: Database) -> FactStore:
    return FactStore(database)


CARD = {"classes": 3, "temperature": None, "sha256": "s", "largest_parameter": 2.5}
"""What a request asks of a passport."""


def planned(home: Home, facts: FactStore, **changes: Any) -> tuple[RecomputeRequest, list[UnitPlan]]:
    return plan(replace(ORDER, **changes), home.catalog(), facts, [ARITHMETIC])


def problems(home: Home, facts: FactStore, **changes: Any) -> dict[str, str]:
    """The refusal's problems: where in the request → code."""
    with pytest.raises(Refused) as caught:
        planned(home, facts, **changes)
    return {problem.details["pointer"]: problem.code for problem in caught.value.problems}


def know(home: Home, facts: FactStore, file: str, expert: str, result: dict[str, Any] | JobError) -> None:
    declared = home.catalog().dataset("digits")
    facts.record(passport_question(home.experts / file, declared), result)


# --- what is accepted ---------------------------------------------------------------------------------


def test_a_right_request_becomes_one_unit_for_each_pair_in_the_order_given(home: Home, facts: FactStore) -> None:
    """Experts in the order given, within each the splits; every default is filled in."""
    request, units = planned(home, facts, experts=("ce", "bal"), splits=("test", "val"))
    assert [(u.expert, u.split, u.total) for u in units] == [
        ("ce", "test", 4), ("ce", "val", 3), ("bal", "test", 4), ("bal", "val", 3)
    ]  # fmt: skip
    assert len({u.split_sha256 for u in units}) == 2
    assert (request.experts_dir, request.splits_dir) == ("experts/digits", "digits_splits")
    assert request.experts == ("ce", "bal")


def test_omitted_experts_mean_all_under_the_prefix(home: Home, facts: FactStore) -> None:
    """In order of name, and only that prefix's."""
    home.write_checkpoint("stage1_old.pth")
    assert planned(home, facts)[0].experts == ("bal", "ce")
    assert planned(home, facts, checkpoint_prefix="")[0].experts == ("best_bal", "best_ce", "stage1_old")


def test_a_named_experts_folder_is_recorded_as_it_was_found(home: Home, facts: FactStore) -> None:
    """The subfolder called like the data set, not the folder above it."""
    assert planned(home, facts, experts_dir="experts")[0].experts_dir == "experts/digits"


def test_good_passports_let_a_request_through(home: Home, facts: FactStore) -> None:
    """What is known and fits refuses nothing; what is not known waits for a worker."""
    know(home, facts, "best_ce.pth", "ce", CARD | {"temperature": 1.5})
    assert len(planned(home, facts, calibration="checkpoint")[1]) == 4


def test_a_passport_belongs_to_the_file_as_it_was(home: Home, facts: FactStore) -> None:
    """A file that was written again is another one, and what was wrong with the old one does not count."""
    know(home, facts, "best_ce.pth", "ce", JobError("checkpoint-invalid", "Bad."))
    (home.experts / "best_ce.pth").write_bytes(b"better weights")
    assert planned(home, facts)[0].experts == ("bal", "ce")


def test_precision_and_reuse_are_recorded(home: Home, facts: FactStore) -> None:
    """As they were asked for."""
    request, _ = planned(home, facts, precision="bf16", reuse=False)
    assert (request.precision, request.reuse) == ("bf16", False)


def test_any_precision_is_taken_while_no_worker_lives(home: Home, facts: FactStore) -> None:
    """Whoever starts may offer it; with several workers one that does is enough."""
    order = replace(ORDER, precision="tf32")
    assert plan(order, home.catalog(), facts)[0].precision == "tf32"
    gpu = replace(ARITHMETIC, device="cuda", precisions=("fp32", "tf32"))
    assert plan(order, home.catalog(), facts, [ARITHMETIC, gpu])[0].precision == "tf32"
    with refused("precision-unavailable", "tf32", "there is fp32, bf16"):
        plan(order, home.catalog(), facts, [ARITHMETIC, ARITHMETIC])


def test_what_is_right_is_found_beside_what_is_wrong(home: Home, facts: FactStore) -> None:
    """Each once and in the order given, and the request as far as folders and names go."""
    order = replace(ORDER, experts=("ce", "nobody", "bal", "ce"), splits=("gone", "val", "val"))
    found = examine(order, home.catalog(), facts)
    assert [problem.code for problem in found.problems] == [
        "repeated-name", "unknown-expert", "repeated-name", "unknown-split"
    ]  # fmt: skip
    assert [expert.name for expert in found.experts] == ["ce", "bal"]
    assert [split.name for split in found.splits] == ["val"]
    assert found.request is not None
    assert found.request.experts_dir == "experts/digits"
    assert examine(replace(ORDER, splits_dir="nowhere"), home.catalog(), facts).request is None


# --- what is refused ----------------------------------------------------------------------------------


def test_every_wrong_item_is_named_at_once(home: Home, facts: FactStore) -> None:
    """Experts, splits and the output folder in one answer, each with its place in the request."""
    home.write_split("odd", [0, 99])
    home.write_split("text", b"no json")
    assert problems(
        home, facts,
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
    home: Home, facts: FactStore, changes: dict[str, Any], expected: dict[str, str]
) -> None:
    """The code says what is wrong, the pointer where, and nothing else is complained about."""
    assert problems(home, facts, **changes) == expected


def test_an_experts_output_folder_that_is_a_file_is_refused(home: Home, facts: FactStore) -> None:
    """Before anything is computed for it."""
    (home.settings.outputs_dir / "logits_fixed").mkdir(parents=True)
    (home.settings.outputs_dir / "logits_fixed" / "ce").touch()
    assert problems(home, facts) == {"#/output_dir": "output-dir-unusable"}


def test_one_fault_of_the_server_is_told_once(home: Home, facts: FactStore) -> None:
    """Missing images concern every split; one sentence is enough."""
    (home.data / "digits" / "test.npz").unlink()
    (home.data / "digits" / "train.npz").unlink()
    assert set(problems(home, facts).values()) == {"data-missing"}
    assert len(problems(home, facts)) == 1


def test_a_missing_data_directory_is_refused(home: Home, facts: FactStore) -> None:
    """With the variable to set."""
    home.data.rename(home.data.with_name("moved"))
    with refused("data-dir-missing", "RELOGIT_DATA_DIR"):
        planned(home, facts)


def test_an_empty_experts_folder_is_the_folders_fault(home: Home, facts: FactStore) -> None:
    """No prefix would have been right there."""
    (home.settings.checkpoints_dir / "empty").mkdir()
    assert problems(home, facts, experts_dir="empty") == {"#/experts_dir": "unknown-prefix"}


def test_two_files_of_one_stem_are_refused_even_when_no_expert_is_named(home: Home, facts: FactStore) -> None:
    """Omitted experts mean all, and one of all is ambiguous."""
    home.write_checkpoint("best_ce.pt")
    assert problems(home, facts) == {"#/experts": "checkpoint-ambiguous"}


# --- what a worker found out --------------------------------------------------------------------------


def test_a_checkpoint_known_to_be_bad_is_refused_in_the_workers_own_words(home: Home, facts: FactStore) -> None:
    """Same code, same text, same details as on a unit that failed of it."""
    know(home, facts, "best_ce.pth", "ce", JobError("checkpoint-mismatch", "Two are missing.", missing=["a", "b"]))
    with pytest.raises(Refused) as caught:
        planned(home, facts, experts=("bal", "ce"))
    [problem] = caught.value.problems
    assert (problem.code, problem.message) == ("checkpoint-mismatch", "Two are missing.")
    assert problem.details == {"missing": ["a", "b"], "pointer": "#/experts/1"}


def test_an_expert_of_other_classes_is_refused_once_its_passport_is_known(home: Home, facts: FactStore) -> None:
    """Both numbers are named."""
    know(
        home,
        facts,
        "best_bal.pt",
        "bal",
        CARD | {"classes": 100},
    )
    with refused("classes-mismatch", "best_bal.pt has 100 outputs", "digits has 3 classes"):
        planned(home, facts)


def test_a_parameter_beyond_the_precision_is_refused(home: Home, facts: FactStore) -> None:
    """What a passport says of the largest parameter is held against the precision before anything is queued."""
    know(home, facts, "best_ce.pth", "ce", CARD | {"largest_parameter": 3.39e38})
    assert problems(home, facts, experts=("ce",)) == {"#/experts/0": "weights-overflow"}


def test_calibration_without_a_stored_temperature_is_refused(home: Home, facts: FactStore) -> None:
    """The refusal names both ways out; raw logits need no temperature."""
    know(home, facts, "best_ce.pth", "ce", CARD)
    with refused("no-temperature", "best_ce.pth", "final_calibrated_", "calibration 'none'"):
        planned(home, facts, calibration="checkpoint")
    assert planned(home, facts, calibration="none")
    assert check_temperature("x.pth", 0.7) == 0.7


# --- the body of POST /jobs ---------------------------------------------------------------------------


def test_a_body_may_leave_everything_out() -> None:
    """The defaults are the old scripts'."""
    assert RecomputeBody.model_validate({}).order() == replace(
        ORDER, dataset="cifar100_lt_if100", splits=("val", "test", "tunev")
    )
    assert RecomputeBody.model_validate({"prefix": "stage1_"}).order().checkpoint_prefix == "stage1_"


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


def test_a_plan_without_experts_or_splits_is_refused(home: Home, facts: FactStore) -> None:
    """The core does not rely on the body's own checks."""
    with pytest.raises(Refused):
        planned(home, facts, experts=())
    with pytest.raises(Refused):
        planned(home, facts, splits=())


def test_a_wrong_name_is_named_beside_a_wrong_prefix(home: Home, facts: FactStore) -> None:
    """Every wrong item that can be seen to be wrong is named at once."""
    assert "#/experts/0" in problems(home, facts, checkpoint_prefix="last_", experts=("a/b",))
