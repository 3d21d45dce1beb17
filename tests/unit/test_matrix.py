"""The matrix says of each expert and split whether its result still fits what is on disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from fastapi import FastAPI

from app.api.dependencies import Services
from app.api.matrix_views import show_matrix
from app.domain.errors import RequestError
from app.pages.matrix import Matrix
from app.pages.matrix_cells import Cell, Setting
from app.pages.selection import selected_bodies, show_plans
from app.submission.bodies import RecomputeBody
from app.submission.plans import Plan, PlannedUnit
from app.submission.recompute import plan
from tests.fakes import ERROR, Home
from tests.unit.asgi import send
from tests.unit.run_world import RunWorld

DIGITS = Setting("digits")


@pytest.fixture
def world(home: Home, services: Services) -> RunWorld:
    return RunWorld.make(home, services)


@pytest.fixture
def done(world: RunWorld) -> RunWorld:
    """Both experts on `val` and `test`; `tunev` and `train` are missing."""
    submit(world)
    world.work()
    return world


def submit(world: RunWorld, **fields: object) -> str:
    body = RecomputeBody.model_validate({"dataset": "digits", "splits": ["val", "test"], **fields})
    request, units = plan(body, world.services.catalog, world.services.inspections)
    return world.services.jobs.submit(request, units).id


def matrix(world: RunWorld, setting: Setting | None = DIGITS, figure: str = "accuracy") -> Matrix:
    shown = show_matrix(world.services, setting, figure).matrix
    assert shown is not None
    return shown


def cells(world: RunWorld) -> dict[str, Cell]:
    return {cell.name: cell for _, row in matrix(world).rows for cell in row}


def stale(world: RunWorld) -> dict[str, list[str]]:
    """Reasons by cell, of those that are stale; all others are kept or missing."""
    found = cells(world)
    assert {cell.state for cell in found.values()} <= {"kept", "stale", "missing"}
    return {name: list(cell.reasons) for name, cell in found.items() if cell.state == "stale"}


def test_what_is_there_is_kept_and_the_rest_is_missing(done: RunWorld) -> None:
    """With its figure, its verdict and its job; nothing is shown for what is missing."""
    found = cells(done)
    states = {name: cell.state for name, cell in found.items()}
    kept = {f"{expert}/{split}" for expert in ("bal", "ce") for split in ("val", "test")}
    assert {name for name, state in states.items() if state == "kept"} == kept
    assert {state for name, state in states.items() if name not in kept} == {"missing"}
    cell = found["ce/val"]
    assert (cell.value, cell.verdict, cell.job) == ("50.00", "passed", done.services.jobs.jobs()[0].id)
    assert (found["ce/tunev"].value, found["ce/tunev"].job) == (None, None)


def test_a_changed_list_makes_its_column_stale(done: RunWorld) -> None:
    done.home.write_split("val", [2, 1])
    assert stale(done) == {"ce/val": ["the list was changed"], "bal/val": ["the list was changed"]}


def test_a_changed_checkpoint_makes_its_row_stale(done: RunWorld) -> None:
    (done.home.experts / "best_ce.pth").write_bytes(b"others")
    assert stale(done) == {name: ["the checkpoint was changed"] for name in ("ce/val", "ce/test")}


def test_changed_images_make_what_points_into_them_stale(done: RunWorld) -> None:
    done.home.write_npz("test", 7)
    assert set(stale(done)) == {"ce/val", "ce/test", "bal/val", "bal/test"}
    assert {reason for reasons in stale(done).values() for reason in reasons} == {"the images were changed"}


def test_another_declaration_makes_all_stale(done: RunWorld) -> None:
    """Another mean gives other logits, whatever the files are; another expert's override does not."""
    text = (done.home.data / "datasets.toml").read_text()
    done.home.declare(text + "[digits.overrides.best_other]\nmean = [0, 0, 0]\nstd = [1, 1, 1]\n")
    assert stale(done) == {}
    done.home.declare(text.replace("mean = [0.5, 0.5, 0.5]", "mean = [0.4, 0.5, 0.5]"))
    reasons = {reason for reasons in stale(done).values() for reason in reasons}
    assert reasons == {"datasets.toml declares another normalisation or network"}
    assert len(stale(done)) == 4


def test_a_published_file_of_another_size_is_stale(done: RunWorld) -> None:
    """Somebody has saved over it."""
    path = done.home.settings.outputs_dir / "logits_fixed" / "ce" / "val_logits.npz"
    path.write_bytes(b"others")
    assert stale(done) == {"ce/val": ["the published file is not the one that was written"]}


def test_how_it_was_computed_is_said_where_that_is_not_as_usual(done: RunWorld) -> None:
    submit(done, precision="bf16", experts=["ce"], splits=["val"])
    done.work()
    found = cells(done)
    assert (list(found["ce/val"].notes), list(found["ce/test"].notes)) == (["bf16"], [])


def test_a_file_of_other_splits_is_stale(done: RunWorld) -> None:
    """Two sets of splits that share an output folder overwrite each other's files."""
    folder = done.home.data / "others"
    folder.mkdir()
    for name in ("val", "test"):
        (folder / f"{name}_indices.json").write_text("[0]")
    other = {cell.name: cell for _, row in matrix(done, Setting("digits", "others")).rows for cell in row}
    assert {tuple(cell.reasons) for cell in other.values()} == {("computed for digits on digits_splits",)}


def test_a_deleted_job_leaves_files_that_nothing_is_known_of(done: RunWorld) -> None:
    done.services.jobs.remove(done.services.jobs.jobs()[0].id)
    assert set(map(tuple, stale(done).values())) == {("its job is not on record any more",)}


def test_a_file_that_is_gone_is_missing(done: RunWorld) -> None:
    path = done.home.settings.outputs_dir / "logits_fixed" / "ce" / "val_logits.npz"
    path.unlink()
    assert cells(done)["ce/val"].state == "missing"


def test_a_job_at_work_shows_in_its_cells(done: RunWorld) -> None:
    """What it will replace is not shown as if it stayed."""
    job = submit(done, experts=["ce"], splits=["val", "tunev"])
    claim = done.services.jobs.claim("w")
    assert claim is not None
    done.services.jobs.start_unit(claim, "val")
    found = cells(done)
    assert {name: cell.state for name, cell in found.items() if cell.job == job} == {
        "ce/val": "running",
        "ce/tunev": "queued",
    }
    assert found["ce/test"].state == "kept"
    progress = found["ce/val"].progress
    assert progress is not None
    assert (progress.done, progress.total) == (0, 2)


def test_a_try_that_failed_is_said(done: RunWorld, app: FastAPI) -> None:
    """Beside what was there before, and where nothing is; a later success takes it away."""
    job = submit(done, experts=["ce"], splits=["val", "tunev"])
    claim = done.services.jobs.claim("w")
    assert claim is not None
    for split in ("val", "tunev"):
        done.services.jobs.start_unit(claim, split)
        done.services.jobs.fail_unit(claim, split, ERROR)
    found = cells(done)
    assert (found["ce/val"].state, found["ce/tunev"].state) == ("kept", "missing")
    assert found["ce/val"].failure == found["ce/tunev"].failure == (ERROR["message"], job)
    assert found["ce/test"].failure is None
    assert send(app, "GET", "/?dataset=digits").text.count(ERROR["message"]) == 2
    done.services.jobs.end_task(claim)
    done.work()
    submit(done, experts=["ce"], splits=["val", "tunev"])
    done.work()
    assert {cell.failure for cell in cells(done).values()} == {None}


def test_a_result_that_was_not_verified_is_not_shown_as_one_that_passed(app: FastAPI, done: RunWorld) -> None:
    text = send(app, "GET", "/?dataset=digits").text
    assert "not verified" not in text
    with done.services.database.transaction() as db:
        db.execute("UPDATE units SET report = NULL WHERE split = 'val'")
    assert send(app, "GET", "/?dataset=digits").text.count("not verified") == 2


def test_a_checkpoint_that_is_touched_but_read_as_the_same_is_kept(done: RunWorld) -> None:
    """Its time alone says nothing once a worker has read it; before that, it is stale rather than kept."""
    path: Path = done.home.experts / "best_ce.pth"
    os.utime(path, (1, 1))
    assert set(stale(done)) == {"ce/val", "ce/test"}


def test_without_a_choice_the_newest_job_decides(done: RunWorld) -> None:
    """Its folders are shown, and data sets without a job are offered."""
    submit(done, output_dir="mine")
    shown = show_matrix(done.services, None, "accuracy")
    assert shown.matrix is not None
    assert shown.matrix.setting.output_dir == "mine"
    assert [setting.output_dir for setting in shown.settings] == ["mine", "logits_fixed"]


def test_a_setting_that_leaves_out_its_folders_is_that_of_the_job(done: RunWorld) -> None:
    """The data set's own folders, named or not, are one setting and one tab."""
    shown = show_matrix(done.services, DIGITS, "accuracy")
    assert shown.matrix is not None
    assert shown.matrix.setting.splits_dir == "digits_splits"
    assert [setting.dataset for setting in shown.settings].count("digits") == 1
    other = show_matrix(done.services, Setting("digits", output_dir="mine"), "accuracy")
    assert [setting.output_dir for setting in other.settings][:2] == ["mine", "logits_fixed"]


def test_what_cannot_be_shown_is_said(world: RunWorld) -> None:
    """A wrong address, or a folder that is not there, is a sentence and no error."""
    shown = show_matrix(world.services, Setting("none"), "accuracy")
    assert shown.matrix is None
    assert shown.problem is not None
    assert "digits" in shown.problem


def test_a_selection_becomes_as_few_jobs_as_compute_just_that() -> None:
    """Experts with the same splits share a job, and nothing else is computed."""
    chosen = ["ce/val", "bal/test", "bal/val", "ce/test", "adj/val"]
    bodies = selected_bodies(DIGITS, chosen)
    pairs = [(expert, split) for body in bodies for expert in body.experts or () for split in body.splits]
    assert sorted(pairs) == sorted(tuple(cell.split("/")) for cell in chosen)
    assert len(bodies) == 2


@pytest.mark.parametrize(("rows", "text"), [(0, "0 forward passes"), (1, "1 forward pass "), (1234, "1,234 forward")])
def test_a_plan_counts_forward_passes_in_words(rows: int, text: str) -> None:
    unit = PlannedUnit("ce", "val", 1234, 1234 - rows, rows, 0.04, 10, {})
    [job] = show_plans([DIGITS.body(experts=["ce"], splits=["val"])], [Plan([], [], None, None, units=[unit])]).jobs
    assert text in job.cost
    assert job.cost.endswith("for 1,234 rows, about 40 ms")


@pytest.mark.parametrize("name", ["ce", "/val", "ce/", ""])
def test_a_name_that_is_no_cell_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="EXPERT/SPLIT"):
        selected_bodies(DIGITS, [name])


def test_another_file_in_a_results_place_is_stale(done: RunWorld) -> None:
    """Of the same size as well, and with the manifest of another result beside it; a touched file is kept."""
    folder = done.home.settings.outputs_dir / "logits_fixed"
    changed = ["the published file is not the one that was written"]
    path = folder / "ce" / "val_logits.npz"
    os.utime(path)
    assert stale(done) == {}
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert stale(done) == {"ce/val": changed}
    for suffix in (".npz", ".json"):
        shutil.copy(folder / "bal" / f"val_logits{suffix}", path.with_suffix(suffix))
    assert stale(done) == {"ce/val": changed}
