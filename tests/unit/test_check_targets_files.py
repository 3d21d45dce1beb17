"""Targets in a file of their own beside a bare tensor: found, held against the split, and never passed over."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.domain.errors import JobError
from app.files.logit_files import find_logit_files
from app.files.uploads import Uploads
from app.store.database import Database
from app.submission.bodies import VerificationBody
from app.submission.verification import plan_verification
from tests.fakes import Home, changed
from tests.unit.file_checks import Outputs, arrays_of, failed_checks, sentence
from tests.unit.test_verification_intake import BODY, touch
from worker.outputs.logit_reader import read_stored, read_targets, with_targets
from worker.verify.file_schema import BARE_WITH_TARGETS

LABELS = torch.tensor([0, 1, 2])
"""Of the split `val`."""


@pytest.fixture
def outputs(home: Home, database: Database) -> Outputs:
    return Outputs.make(home, database)


def _bare(folder: Path, expert: str = "ce", *, targets: object = LABELS, name: str = "val_targets.pt") -> Path:
    """A right bare tensor for `val`, with such a file beside it."""
    (folder / expert).mkdir(parents=True, exist_ok=True)
    torch.save(torch.from_numpy(arrays_of("val")["logits"]), folder / expert / "val_logits.pt")
    torch.save(targets, folder / expert / name)
    return folder / expert / name


@pytest.mark.parametrize("name", ["val_targets.pt", "val_labels.pt"])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_right_targets_pass_and_are_on_record(outputs: Outputs, name: str, dtype: torch.dtype) -> None:
    """Their file's digest is recorded beside that of the logits, and they are not among the files passed over."""
    path = _bare(outputs.folder, targets=LABELS.to(dtype), name=name)
    found, results = outputs.check()
    result = results["ce", "val"]
    assert (found["verdict"], result["verdict"]) == ("passed", "passed")
    assert sentence(result, "targets") == "Every target is the data set's label at the split's index."
    digest = sha256(path.read_bytes()).hexdigest()
    assert result["targets_file"] == {"name": f"ce/{name}", "sha256": digest, "bytes": path.stat().st_size}
    assert result["file"]["name"] == "ce/val_logits.pt"
    [names] = [check for check in found["checks"] if check["id"] == "names"]
    assert (names["verdict"], names["measured"]) == ("passed", 0)


def test_permuted_rows_show_in_their_targets(outputs: Outputs) -> None:
    """Logits and targets in another order than the split's are consistent, and fail; without targets they pass."""
    order = [1, 0, 2]
    (outputs.folder / "ce").mkdir()
    logits = torch.from_numpy(arrays_of("val")["logits"])[order]
    torch.save(logits, outputs.folder / "ce" / "val_logits.pt")
    assert outputs.check()[0]["verdict"] == "passed"
    torch.save(LABELS[order], outputs.folder / "ce" / "val_targets.pt")
    _, results = outputs.check()
    assert failed_checks(results["ce", "val"]) == ["targets"]
    assert "2 of 3 targets" in sentence(results["ce", "val"], "targets")
    assert "'targets'" in results["ce", "val"]["metrics"]["reasons"]["accuracy"]


def test_targets_files_are_compared_between_experts(outputs: Outputs) -> None:
    """As those within an .npz are, whatever their dtype."""
    _bare(outputs.folder, targets=LABELS.to(torch.uint8))
    outputs.write("bal", "val")
    found, _ = outputs.check()
    [check] = [check for check in found["checks"] if check["id"] == "targets-between-experts"]
    assert (check["verdict"], check["measured"]["compared"]) == ("passed", 2)


BAD: list[tuple[Any, str, str]] = [
    ({"targets": LABELS}, "readable", "val_targets.pt cannot be read: it holds a dict; one tensor (N) of targets"),
    (LABELS[:2], "shapes", "targets has shape [2] where [3] is right"),
    (LABELS[:, None], "shapes", "targets has shape [3, 1] where [3] is right"),
    (torch.zeros((), dtype=torch.int64).expand(10**9), "shapes", "[1000000000] where [3]"),
    (LABELS.float(), "dtypes", "targets is float32 where int64 or int32 or uint8 is right"),
    (LABELS.bool(), "dtypes", "targets is bool"),
    (LABELS.to(torch.bfloat16), "readable", "bfloat16"),
    (LABELS + 1, "targets", "3 of 3 targets"),
    (LABELS - 7, "targets", "3 of 3 targets"),
]


@pytest.mark.parametrize(("targets", "check_id", "said"), BAD)
def test_bad_targets_are_a_failed_check(outputs: Outputs, targets: object, check_id: str, said: str) -> None:
    """Whatever is wrong with them is said; the logits are never judged as if there were none."""
    _bare(outputs.folder, targets=targets)
    outputs.write("bal", "val")
    found, results = outputs.check()
    assert found["verdict"] == "failed"
    assert failed_checks(results["ce", "val"]) == [check_id]
    assert said in sentence(results["ce", "val"], check_id)
    assert results["ce", "val"]["metrics"]["accuracy"] is None
    assert results["bal", "val"]["verdict"] == "passed"


def _gone(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere.pt"))


@pytest.mark.parametrize("spoil", [_gone, _cut, _dangling])
def test_targets_that_cannot_be_read_are_a_failed_check(outputs: Outputs, spoil: Callable[[Path], None]) -> None:
    """Removed since the request, damaged, or a link to nothing: it is named, and the logits' digest is kept."""
    path = _bare(outputs.folder)
    request = outputs.request()
    spoil(path)
    _, results = outputs.check(request)
    assert failed_checks(results["ce", "val"]) == ["readable"]
    assert "val_targets.pt" in sentence(results["ce", "val"], "readable")
    assert results["ce", "val"]["file"]["name"] == "ce/val_logits.pt"
    assert results["ce", "val"]["targets_file"] is None


def test_only_targets_beside_a_bare_tensor_are_taken(tmp_path: Path) -> None:
    """Beside an .npz, beside nothing or of another split they are mentioned as others; of two files one is."""
    touch(tmp_path, "a/val_logits.pt", "a/val_targets.pt", "a/val_labels.pt", "a/test_targets.pt")
    touch(tmp_path, "b/val_logits.npz", "b/val_targets.pt", "c/val_labels.pt", "a/_targets.pt", "d/_logits.pt")
    found = find_logit_files(tmp_path, "here")
    assert [(file.name, file.targets) for file in found.files] == [
        ("a/val_logits.pt", "a/val_targets.pt"),
        ("b/val_logits.npz", None),
    ]
    others = ["a/_targets.pt", "a/test_targets.pt", "a/val_labels.pt", "b/val_targets.pt", "c/val_labels.pt"]
    assert found.others == (*others, "d/_logits.pt")


def _body(**changes: Any) -> VerificationBody:
    return changed(BODY, path=None, **changes)


def test_an_upload_of_one_tensor_and_its_targets_is_one_file(home: Home) -> None:
    """It may be named by the request, as one without targets."""
    uploads = Uploads(home.settings.uploads_dir)
    upload = uploads.create()
    touch(uploads.folder(upload), "ce/val_logits.pt", "ce/val_labels.pt", "ce/val_logits.json")
    planned = plan_verification(_body(upload=upload, expert="x", split="test"), home.catalog(), uploads)
    [file] = planned.files
    assert (file.name, file.expert, file.split, file.targets) == (
        "ce/val_logits.pt", "x", "test", "ce/val_labels.pt"
    )  # fmt: skip
    assert planned.others == ()


def test_a_single_file_in_place_has_its_targets(home: Home) -> None:
    """Named below the folder that the request keeps; a link to nothing counts, for the check to say."""
    folder = home.settings.outputs_dir / "old" / "ce"
    touch(folder, "val_logits.pt", "test_logits.pt")
    (folder / "val_targets.pt").symlink_to("nowhere")
    uploads = Uploads(home.settings.uploads_dir)
    files = {
        split: plan_verification(changed(BODY, path=f"old/ce/{split}_logits.pt"), home.catalog(), uploads).files
        for split in ("val", "test")
    }
    assert [file.targets for (file,) in files.values()] == ["val_targets.pt", None]


def test_joined_arrays_have_their_own_form(tmp_path: Path) -> None:
    """Logits of a bare tensor and targets of the other file, under the digests of each."""
    path = _bare(tmp_path, targets=LABELS.to(torch.int32))
    stored = read_stored(tmp_path / "ce" / "val_logits.pt", 3, 3)
    targets = read_targets(path, 3)
    joined = with_targets(stored, targets)
    assert joined.form == BARE_WITH_TARGETS
    assert joined.sha256 == stored.sha256 != targets.sha256
    assert np.array_equal(joined.arrays["targets"], [0, 1, 2])
    with pytest.raises(JobError, match="no longer exists"):
        read_targets(tmp_path / "ce" / "test_targets.pt", 3)
