"""Verifying files that are there already: each file by itself, all of them together, and what no file may break."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.domain.errors import NotFound
from app.domain.standards import Standards
from app.files.uploads import Uploads
from app.store.database import Database
from app.store.jobs import JobStore
from tests.fakes import Home, take
from tests.unit.archives import declared, zipped
from tests.unit.file_checks import Outputs, arrays_of, failed_checks, sentence, write_logits
from worker.context import Cancelled, Stopped
from worker.tasks.check import check_files


@pytest.fixture
def outputs(home: Home, database: Database) -> Outputs:
    return Outputs.make(home, database)


def test_right_files_pass_with_their_figures(outputs: Outputs) -> None:
    """Each with its digest and its accuracy, and the whole with the verdict on all."""
    path = outputs.write("ce", "val")
    outputs.write("bal", "test")
    found, results = outputs.check()
    assert found["verdict"] == "passed"
    assert list(results) == [("bal", "test"), ("ce", "val")]
    result = results["ce", "val"]
    assert (result["verdict"], result["error"], result["base"]) == ("passed", None, "test")
    assert result["metrics"]["accuracy"] == 1.0
    digest = sha256(path.read_bytes()).hexdigest()
    assert result["file"] == {"name": "ce/val_logits.npz", "sha256": digest, "bytes": path.stat().st_size}
    assert failed_checks(results["bal", "test"], "warning") == ["repeats"]
    assert "no manifest" in sentence(result, "manifest")


def test_a_bare_tensor_takes_its_targets_from_the_split(outputs: Outputs) -> None:
    """Half precision and no targets are right for a .pt."""
    (outputs.folder / "ce").mkdir()
    torch.save(torch.from_numpy(arrays_of("val")["logits"]).half(), outputs.folder / "ce" / "val_logits.pt")
    found, results = outputs.check()
    assert found["verdict"] == "passed"
    assert results["ce", "val"]["metrics"]["accuracy"] == 1.0


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _link_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _written_with(**changes: Any) -> Callable[[Path], None]:
    """What would be a right file, but for these arrays."""
    return lambda path: np.savez(path, **{**arrays_of("val"), **changes})


BROKEN: list[tuple[Callable[[Path], object], str, str]] = [
    (lambda path: path.write_bytes(b""), "readable", "val_logits.npz"),
    (lambda path: path.write_bytes(b"no array at all"), "readable", "val_logits.npz"),
    (_cut, "readable", "val_logits.npz"),
    (_written_with(targets=np.array([{}, None, 1], object)), "readable", "targets holds Python objects"),
    (_link_loop, "readable", "cannot be read"),
    (Path.unlink, "readable", "no longer exists"),
    (_folder, "readable", "cannot be read"),
    (zipped, "arrays", "missing: logits, predictions, targets"),
    (
        lambda path: zipped(path, ("logits.npy", declared("<f4", (10**9, 3)))),
        "arrays",
        "missing: predictions, targets",
    ),
    (_written_with(**arrays_of("test")), "shapes", "[4, 3] where [3, 3]"),
    (_written_with(**arrays_of("val", classes=4)), "shapes", "[3, 4] where [3, 3]"),
    (_written_with(logits=np.zeros(3, np.float32)), "shapes", "[3] where"),
    (_written_with(logits=np.float32(1)), "shapes", "[] where"),
    (_written_with(targets=np.array([7, -1, 2])), "targets", "2 of 3 targets"),
    (_written_with(logits=np.full((3, 3), np.nan)), "finite", "3 of 3 rows"),
    (_written_with(logits=np.array([["a"] * 3] * 3)), "dtypes", "<U1"),
    (_written_with(predictions=np.zeros(3, int)), "predictions", "2 of 3"),
]


@pytest.mark.parametrize(("spoil", "check_id", "said"), BROKEN)
def test_one_bad_file_fails_by_name_and_the_others_are_verified(
    outputs: Outputs, spoil: Callable[[Path], object], check_id: str, said: str
) -> None:
    """Whatever is wrong with it is a failed check of it alone, and fails the whole."""
    bad = outputs.write("a", "val")
    outputs.write("b", "val")
    request = outputs.request()
    spoil(bad)
    found, results = outputs.check(request)
    assert found["verdict"] == "failed"
    assert (results["a", "val"]["verdict"], results["b", "val"]["verdict"]) == ("failed", "passed")
    assert check_id in failed_checks(results["a", "val"])
    assert said in sentence(results["a", "val"], check_id)
    assert results["b", "val"]["metrics"]["accuracy"] == 1.0


@pytest.mark.parametrize("split", ["nowhere", "odd name!", "a\nb", "x" * 200])
def test_a_split_that_is_not_there_fails_its_files(outputs: Outputs, split: str) -> None:
    """Its name may be any that a file can have; the other splits are verified."""
    (outputs.folder / "ce").mkdir()
    np.savez(outputs.folder / "ce" / f"{split}_logits.npz", **arrays_of("val"))
    outputs.write("ce", "val")
    found, results = outputs.check()
    assert found["verdict"] == "failed"
    assert failed_checks(results["ce", split]) == ["split"]
    assert results["ce", split]["metrics"]["reasons"]["accuracy"]
    assert results["ce", "val"]["verdict"] == "passed"


@pytest.mark.parametrize("content", [b"{", [], [99], ["a"], [[0, 1]]])
def test_a_split_that_is_no_index_list_fails_its_files(outputs: Outputs, content: object) -> None:
    """No JSON, an empty list, indices out of range or of another kind."""
    outputs.write("ce", "val")
    outputs.write("ce", "test")
    outputs.home.write_split("val", content)
    _, results = outputs.check()
    assert failed_checks(results["ce", "val"]) == ["split"]
    assert results["ce", "test"]["verdict"] == "passed"


def test_two_files_that_claim_one_unit_fail_it(outputs: Outputs) -> None:
    """Both are named and neither is verified; the rest is."""
    outputs.write("old/ce", "val")
    outputs.write("new/ce", "val")
    outputs.write("bal", "val")
    _, results = outputs.check()
    assert failed_checks(results["ce", "val"]) == ["one-file"]
    assert "new/ce/val_logits.npz, old/ce/val_logits.npz" in sentence(results["ce", "val"], "one-file")
    assert results["bal", "val"]["verdict"] == "passed"


def test_what_no_file_shows_alone_is_said_of_the_whole(outputs: Outputs) -> None:
    """Unnamed arrays, splits that share samples, and experts of one split, compared by targets and by outputs."""
    outputs.home.write_split("val", [0, 1, 2, 3] * 4)
    outputs.home.write_split("test", [3, 4])
    labels = np.array([0, 1, 2, 0] * 4)
    rng = np.random.default_rng(0)
    logits = rng.random((16, 3), dtype=np.float32)
    logits[np.arange(16), labels] += 2
    right: dict[str, Any] = {"logits": logits, "targets": labels, "predictions": labels}
    for expert, changes in {"a": {}, "copy": {}, "other": {"targets": np.roll(labels, 1)}}.items():
        outputs.write(expert, "val", **(right | changes))
    outputs.write("a", "test", logits=logits[:2], targets=[0, 1], predictions=logits[:2].argmax(axis=1))
    (outputs.folder / "a" / "notes.npz").touch()
    found, _ = outputs.check()
    said = {(check["id"], check["verdict"]): check for check in found["checks"]}
    assert found["verdict"] == "failed"
    assert said["names", "failed"]["evidence"] == ["a/notes.npz"]
    assert said["overlap", "failed"]["measured"]["shared"] == 1
    assert said["targets-between-experts", "failed"]["level"] == "error"
    pairs = [item["experts"] for item in said["duplicate-outputs", "failed"]["evidence"]]
    assert ["a", "copy"] in pairs


@pytest.mark.parametrize("value", [1e308, -1e308, 1e-308])
def test_huge_and_tiny_numbers_do_no_harm(outputs: Outputs, value: float) -> None:
    """They fail by their dtype, and are compared and figured without overflow."""
    outputs.home.write_split("val", [0, 1, 2] * 5)
    logits = np.full((15, 3), value)
    logits[np.arange(15), np.arange(15) % 3] = -value
    for expert in ("a", "b"):
        outputs.write(expert, "val", logits=logits, targets=np.arange(15) % 3, predictions=logits.argmax(axis=1))
    _, results = outputs.check()
    assert failed_checks(results["a", "val"]) == ["dtypes"]


def test_floors_warn(outputs: Outputs) -> None:
    """The request's standards reach each file."""
    arrays = arrays_of("val")
    wrong = np.roll(arrays["logits"], 1, axis=1)
    outputs.write("ce", "val", logits=wrong, predictions=wrong.argmax(axis=1))
    request = replace(outputs.request(), standards=Standards(floors={"accuracy": 0.5}))
    found, results = outputs.check(request)
    assert "floor" in failed_checks(results["ce", "val"], "warning")
    assert found["verdict"] == "passed"


def test_an_upload_is_verified_where_it_lies(outputs: Outputs) -> None:
    """Its files are read from the upload's own folder."""
    uploads = Uploads(outputs.home.settings.uploads_dir)
    upload = uploads.create()
    root = uploads.folder(upload)
    write_logits(root, "ce", "val")
    request = replace(outputs.request(root), path=None, upload=upload)
    _, results = outputs.check(request)
    assert results["ce", "val"]["verdict"] == "passed"


def test_an_upload_that_was_deleted_cannot_be_verified(outputs: Outputs) -> None:
    """Before the check began, the whole of it is refused by name."""
    uploads = Uploads(outputs.home.settings.uploads_dir)
    upload = uploads.create()
    write_logits(uploads.folder(upload), "ce", "val")
    request = replace(outputs.request(uploads.folder(upload)), path=None, upload=upload)
    uploads.remove(upload)
    outputs.context.jobs.submit(request)
    with pytest.raises(NotFound, match="POST /uploads"):
        check_files(take(outputs.context.jobs), outputs.context)


def test_a_check_stops_between_two_files(outputs: Outputs, store: JobStore) -> None:
    """Told to stop, or when its job is cancelled; nothing is recorded then."""
    outputs.write("ce", "val")
    job = outputs.context.jobs.submit(outputs.request())
    claim = take(outputs.context.jobs)
    with pytest.raises(Stopped):
        check_files(claim, replace(outputs.context, stopping=lambda: True))
    store.cancel(job.id)
    with pytest.raises(Cancelled):
        check_files(claim, outputs.context)
    assert store.get(job.id).verification is None
