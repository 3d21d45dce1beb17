"""From a request to verify files to a job: what is found where, and every single thing that is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import Refused
from app.domain.requests import LogitFile, VerificationRequest
from app.domain.standards import Standards
from app.files.uploads import Uploads
from app.submission.bodies import VerificationBody
from app.submission.verification import plan_verification
from tests.fakes import Home, changed

BODY = VerificationBody(dataset="digits", path="logits_fixed", head_threshold=3, floors={"accuracy": 0.5})


@pytest.fixture
def uploads(home: Home) -> Uploads:
    return Uploads(home.settings.uploads_dir)


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _plan(home: Home, **changes: Any) -> VerificationRequest:
    return plan_verification(changed(BODY, **changes), home.catalog(), Uploads(home.settings.uploads_dir))


def _problems(home: Home, **changes: Any) -> list[tuple[str, str]]:
    with pytest.raises(Refused) as caught:
        _plan(home, **changes)
    return [(problem.code, problem.details["pointer"]) for problem in caught.value.problems]


def test_a_folder_of_outputs_is_verified_in_place(home: Home) -> None:
    """With the data set as it is declared now, its own splits, and everything that is there."""
    touch(home.settings.outputs_dir / "logits_fixed", "ce/val_logits.npz", "bal/val_logits.npz", "bal/x.npy")
    assert _plan(home) == VerificationRequest(
        dataset="digits",
        splits_dir="digits_splits",
        path="logits_fixed",
        upload=None,
        files=(LogitFile("bal/val_logits.npz", "bal", "val"), LogitFile("ce/val_logits.npz", "ce", "val")),
        others=("bal/x.npy",),
        declaration=home.catalog().dataset("digits").model_dump(mode="json"),
        standards=Standards(head_threshold=3, floors={"accuracy": 0.5}),
    )


def test_the_whole_outputs_directory_can_be_verified(home: Home) -> None:
    """But for what is the service's own."""
    outputs = home.settings.outputs_dir
    touch(outputs, "a/ce/val_logits.npz", ".relogit/uploads/ce/val_logits.npz", "val_logits.npz")
    found = _plan(home, path=".")
    assert [(file.expert, file.name) for file in found.files] == [
        ("ce", "a/ce/val_logits.npz"),
        (outputs.name, "val_logits.npz"),
    ]


@pytest.mark.parametrize(
    ("path", "names", "folder", "right"),
    [
        ("a/ce/val_logits.npz", {}, "a/ce", LogitFile("val_logits.npz", "ce", "val")),
        ("a/ce/val_logits.npz", {"expert": "bal"}, "a/ce", LogitFile("val_logits.npz", "bal", "val")),
        ("a/ce/tensor.pt", {"split": "test"}, "a/ce", LogitFile("tensor.pt", "ce", "test")),
        ("val_logits.npz", {}, ".", LogitFile("val_logits.npz", "out", "val")),
        ("./val_logits.npz/", {"expert": "ce"}, ".", LogitFile("val_logits.npz", "ce", "val")),
    ],
)
def test_a_single_file_is_a_verification_of_one(
    home: Home, path: str, names: dict[str, str], folder: str, right: LogitFile
) -> None:
    """Its folder and name say whose it is, unless the request does; it lies where it lies."""
    touch(home.settings.outputs_dir, "a/ce/val_logits.npz", "a/ce/tensor.pt", "val_logits.npz")
    found = _plan(home, path=path, **names)
    assert (found.path, found.files, found.others) == (folder, (right,), ())
    assert (home.settings.outputs_dir / folder / right.name).is_file()


def test_an_upload_of_many_files_is_named_by_them(home: Home, uploads: Uploads) -> None:
    """As a folder would be; what lies in none has no expert."""
    upload = uploads.create()
    touch(uploads.folder(upload), "ce/val_logits.npz", "ce/val_logits.json", "ce/test_logits.pt")
    found = _plan(home, path=None, upload=upload)
    assert (found.path, found.upload) == (None, upload)
    assert [file.name for file in found.files] == ["ce/test_logits.pt", "ce/val_logits.npz"]


@pytest.mark.parametrize(
    ("name", "names", "right"),
    [
        ("ce/val_logits.npz", {}, ("ce", "val")),
        ("job/ce/val_logits.npz", {"split": "test"}, ("ce", "test")),
        ("tensor.pt", {"expert": "bal", "split": "test"}, ("bal", "test")),
    ],
)
def test_an_upload_of_one_file_may_be_named_by_the_request(
    home: Home, uploads: Uploads, name: str, names: dict[str, str], right: tuple[str, str]
) -> None:
    """Its manifest beside it is no second file."""
    upload = uploads.create()
    touch(uploads.folder(upload), name, str(Path(name).with_suffix(".json")))
    assert _plan(home, path=None, upload=upload, **names).files == (LogitFile(name, *right),)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"path": "empty"}, "no-logit-files"),
        ({"path": "nowhere"}, "path-missing"),
        ({"path": "../out/many"}, "invalid-name"),
        ({"path": "/etc"}, "invalid-name"),
        ({"path": ".relogit"}, "invalid-name"),
        ({"path": ""}, "invalid-name"),
        ({"path": "a\0b"}, "invalid-name"),
        ({"path": "many", "expert": "ce"}, "names-of-many"),
        ({"path": "many", "split": "val"}, "names-of-many"),
        ({"path": "many/ce/val.npz"}, "split-unclear"),
        ({"path": "many/ce/notes.txt"}, "not-logits"),
        ({"path": "many/ce/val_logits.npz", "expert": "../ce"}, "invalid-name"),
    ],
)
def test_a_path_without_logits_is_refused(home: Home, changes: dict[str, Any], code: str) -> None:
    """Empty or missing folders, paths that lead elsewhere, and names for what has its own."""
    outputs = home.settings.outputs_dir
    touch(outputs, "many/ce/val_logits.npz", "many/ce/val.npz", "many/ce/notes.txt", ".relogit/ce/val_logits.npz")
    (outputs / "empty").mkdir()
    assert _problems(home, **changes) == [(code, "#/path")]


@pytest.mark.parametrize(
    ("sent", "changes", "code"),
    [
        ([], {}, "no-logit-files"),
        (["ce/val_logits.json"], {}, "no-logit-files"),
        (["val_logits.npz"], {}, "expert-unclear"),
        (["ce/val.npz"], {}, "split-unclear"),
        (["ce/val_logits.npz", "ce/test_logits.npz"], {"expert": "ce"}, "names-of-many"),
    ],
)
def test_an_upload_without_logits_is_refused(
    home: Home, uploads: Uploads, sent: list[str], changes: dict[str, Any], code: str
) -> None:
    """Nothing, manifests alone, or files that do not say whose they are."""
    upload = uploads.create()
    touch(uploads.folder(upload), *sent)
    assert _problems(home, path=None, upload=upload, **changes) == [(code, "#/upload")]


@pytest.mark.parametrize("upload", ["0" * 32, "../../out", ""])
def test_an_upload_that_is_not_there_is_refused(home: Home, upload: str) -> None:
    """It may have been deleted, or never have been one."""
    assert _problems(home, path=None, upload=upload) == [("upload-not-found", "#/upload")]


def test_everything_that_is_wrong_is_named_at_once(home: Home) -> None:
    """One answer for all of it; without a data set nothing can be said of its splits."""
    assert _problems(home, splits_dir="nowhere", path="nowhere") == [
        ("splits-dir-missing", "#/splits_dir"),
        ("path-missing", "#/path"),
    ]
    assert _problems(home, dataset="letters", splits_dir="nowhere", path="nowhere") == [
        ("unknown-dataset", "#/dataset"),
        ("path-missing", "#/path"),
    ]


def test_other_splits_of_the_data_set_can_be_named(home: Home) -> None:
    """The folder is below the data directory."""
    touch(home.settings.outputs_dir / "logits_fixed", "ce/val_logits.npz")
    (home.data / "other").mkdir()
    assert _plan(home, splits_dir="other/").splits_dir == "other"


def test_rows_to_compute_anew_come_with_their_checkpoints(home: Home) -> None:
    """Number, prefix and folder are kept; without a folder the data set's own is meant, there or not."""
    touch(home.settings.outputs_dir / "logits_fixed", "ce/val_logits.npz")
    (home.settings.checkpoints_dir / "new" / "digits").mkdir(parents=True)
    planned = _plan(home, recompute=50, checkpoint_prefix="", experts_dir="new")
    assert (planned.recompute, planned.checkpoint_prefix, planned.experts_dir) == (50, "", "new/digits")
    usual = _plan(home)
    assert (usual.recompute, usual.checkpoint_prefix, usual.experts_dir) == (0, "best_", None)
    home.experts.rename(home.experts.with_name("gone"))
    assert _plan(home, recompute=50).experts_dir is None


@pytest.mark.parametrize(
    ("changes", "right"),
    [
        ({"experts_dir": "nowhere"}, [("experts-dir-missing", "#/experts_dir")]),
        ({"experts_dir": "../data"}, [("invalid-name", "#/experts_dir")]),
        ({"checkpoint_prefix": "a/b"}, [("invalid-name", "#/checkpoint_prefix")]),
    ],
)
def test_checkpoints_that_are_named_wrongly_are_refused(
    home: Home, changes: dict[str, Any], right: list[tuple[str, str]]
) -> None:
    """A folder that is not there, or a name that leads elsewhere."""
    touch(home.settings.outputs_dir / "logits_fixed", "ce/val_logits.npz")
    assert _problems(home, recompute=5, **changes) == right
