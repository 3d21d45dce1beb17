"""Verifying files that are there already: each file by itself, all of them together, and what no file may break."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.database import Database
from app.errors import NotFound
from app.jobs import JobState
from app.logit_files import find_logit_files
from app.requests import LogitFile, Standards, VerificationRequest
from app.store import JobStore
from app.uploads import Uploads
from tests.computing import worker_context
from tests.fakes import Home, take
from worker.context import Cancelled, Context, Stopped
from worker.tasks.check import check_files

Results = dict[tuple[str, str], dict[str, Any]]

SPLITS = {"val": [0, 1, 2], "test": [5, 3, 3, 4]}
"""Of `Home.make`; labels are the index modulo 3."""


@pytest.fixture
def context(home: Home, database: Database) -> Context:
    return worker_context(home.settings, database)


@pytest.fixture
def folder(home: Home) -> Path:
    path = home.settings.outputs_dir / "logits_fixed"
    path.mkdir(parents=True)
    return path


def _arrays(split: str, seed: int = 0, classes: int = 3) -> dict[str, Any]:
    labels = np.array(SPLITS[split]) % 3
    logits = np.random.default_rng(seed).random((len(labels), classes), dtype=np.float32)
    logits[np.arange(len(labels)), labels] += 2
    return {"logits": logits, "targets": labels, "predictions": logits.argmax(axis=1)}


def _write(folder: Path, expert: str, split: str, **changes: Any) -> Path:
    path = folder / expert / f"{split}_logits.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(expert.encode())
    np.savez(path, **{**_arrays(split, seed), **changes})
    return path


def _request(home: Home, folder: Path, files: Sequence[LogitFile] | None = None) -> VerificationRequest:
    found = find_logit_files(folder, folder.name)
    return VerificationRequest(
        dataset="digits",
        splits_dir="digits_splits",
        path=folder.relative_to(home.settings.outputs_dir).as_posix(),
        upload=None,
        files=found.files if files is None else tuple(files),
        others=found.others,
        declaration=home.catalog().dataset("digits").model_dump(mode="json"),
    )


def _check(context: Context, request: VerificationRequest) -> tuple[dict[str, Any], Results]:
    """What was recorded, whole and by unit, after what every record owes: an ended job, and strict JSON in UTF-8."""
    job = context.jobs.submit(request)
    claim = take(context.jobs)
    check_files(claim, context)
    done = context.jobs.get(job.id)
    assert done.state is JobState.SUCCEEDED
    assert done.verification is not None
    json.dumps(done.verification, allow_nan=False, ensure_ascii=False).encode()
    return done.verification, {(result["expert"], result["split"]): result for result in done.verification["results"]}


def _failed(result: dict[str, Any], level: str = "error") -> list[str]:
    return [check["id"] for check in result["checks"] if (check["verdict"], check["level"]) == ("failed", level)]


def _sentence(result: dict[str, Any], check_id: str) -> str:
    (check,) = (check for check in result["checks"] if check["id"] == check_id)
    return str(check["message"])


def test_right_files_pass_with_their_figures(home: Home, context: Context, folder: Path) -> None:
    """Each with its digest and its accuracy, and the whole with the verdict on all."""
    path = _write(folder, "ce", "val")
    _write(folder, "bal", "test")
    found, results = _check(context, _request(home, folder))
    assert found["verdict"] == "passed"
    assert list(results) == [("bal", "test"), ("ce", "val")]
    result = results["ce", "val"]
    assert (result["verdict"], result["error"], result["base"]) == ("passed", None, "test")
    assert result["metrics"]["accuracy"] == 1.0
    digest = sha256(path.read_bytes()).hexdigest()
    assert result["file"] == {"name": "ce/val_logits.npz", "sha256": digest, "bytes": path.stat().st_size}
    assert _failed(results["bal", "test"], "warning") == ["repeats"]
    assert "no manifest" in _sentence(result, "manifest")


def test_a_bare_tensor_takes_its_targets_from_the_split(home: Home, context: Context, folder: Path) -> None:
    """Half precision and no targets are right for a .pt."""
    (folder / "ce").mkdir()
    torch.save(torch.from_numpy(_arrays("val")["logits"]).half(), folder / "ce" / "val_logits.pt")
    found, results = _check(context, _request(home, folder))
    assert found["verdict"] == "passed"
    assert results["ce", "val"]["metrics"]["accuracy"] == 1.0


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _objects(path: Path) -> None:
    np.savez(path, **{**_arrays("val"), "targets": np.array([{}, None, 1], object)})


def _link_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _declares_much(path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 3), }\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("logits.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)


BROKEN: list[tuple[Callable[[Path], object], str, str]] = [
    (lambda path: path.write_bytes(b""), "readable", "val_logits.npz"),
    (lambda path: path.write_bytes(b"no array at all"), "readable", "val_logits.npz"),
    (_cut, "readable", "val_logits.npz"),
    (_objects, "readable", "targets holds Python objects"),
    (_link_loop, "readable", "cannot be read"),
    (Path.unlink, "readable", "not there any more"),
    (_folder, "readable", "cannot be read"),
    (lambda path: zipfile.ZipFile(path, "w").close(), "arrays", "missing: logits, predictions, targets"),
    (_declares_much, "arrays", "missing: predictions, targets"),
    (lambda path: np.savez(path, **_arrays("test")), "shapes", "[4, 3] where [3, 3]"),
    (lambda path: np.savez(path, **_arrays("val", classes=4)), "shapes", "[3, 4] where [3, 3]"),
    (lambda path: np.savez(path, **(_arrays("val") | {"logits": np.zeros(3, np.float32)})), "shapes", "[3] where"),
    (lambda path: np.savez(path, **(_arrays("val") | {"logits": np.float32(1)})), "shapes", "[] where"),
    (
        lambda path: np.savez(path, **(_arrays("val") | {"targets": np.array([7, -1, 2])})),
        "targets",
        "2 of 3 targets",
    ),
    (lambda path: np.savez(path, **(_arrays("val") | {"logits": np.full((3, 3), np.nan)})), "finite", "3 of 3 rows"),
    (lambda path: np.savez(path, **(_arrays("val") | {"logits": np.array([["a"] * 3] * 3)})), "dtypes", "<U1"),
    (lambda path: np.savez(path, **(_arrays("val") | {"predictions": np.zeros(3, int)})), "predictions", "2 of 3"),
]


@pytest.mark.parametrize(("spoil", "check_id", "said"), BROKEN)
def test_one_bad_file_fails_by_name_and_the_others_are_verified(
    home: Home, context: Context, folder: Path, spoil: Callable[[Path], object], check_id: str, said: str
) -> None:
    """Whatever is wrong with it is a failed check of it alone, and fails the whole."""
    bad = _write(folder, "a", "val")
    _write(folder, "b", "val")
    request = _request(home, folder)
    spoil(bad)
    found, results = _check(context, request)
    assert found["verdict"] == "failed"
    assert (results["a", "val"]["verdict"], results["b", "val"]["verdict"]) == ("failed", "passed")
    assert check_id in _failed(results["a", "val"])
    assert said in _sentence(results["a", "val"], check_id)
    assert results["b", "val"]["metrics"]["accuracy"] == 1.0


@pytest.mark.parametrize("split", ["nowhere", "odd name!", "a\nb", "x" * 200])
def test_a_split_that_is_not_there_fails_its_files(home: Home, context: Context, folder: Path, split: str) -> None:
    """Its name may be any that a file can have; the other splits are verified."""
    (folder / "ce").mkdir()
    np.savez(folder / "ce" / f"{split}_logits.npz", **_arrays("val"))
    _write(folder, "ce", "val")
    found, results = _check(context, _request(home, folder))
    assert found["verdict"] == "failed"
    assert _failed(results["ce", split]) == ["split"]
    assert results["ce", split]["metrics"]["reasons"]["accuracy"]
    assert results["ce", "val"]["verdict"] == "passed"


@pytest.mark.parametrize("content", [b"{", [], [99], ["a"], [[0, 1]]])
def test_a_split_that_is_no_index_list_fails_its_files(
    home: Home, context: Context, folder: Path, content: object
) -> None:
    """No JSON, an empty list, indices out of range or of another kind."""
    _write(folder, "ce", "val")
    _write(folder, "ce", "test")
    home.write_split("val", content)
    _, results = _check(context, _request(home, folder))
    assert _failed(results["ce", "val"]) == ["split"]
    assert results["ce", "test"]["verdict"] == "passed"


def test_two_files_that_claim_one_unit_fail_it(home: Home, context: Context, folder: Path) -> None:
    """Both are named and neither is verified; the rest is."""
    _write(folder / "old", "ce", "val")
    _write(folder / "new", "ce", "val")
    _write(folder, "bal", "val")
    _, results = _check(context, _request(home, folder))
    assert _failed(results["ce", "val"]) == ["one-file"]
    assert "new/ce/val_logits.npz, old/ce/val_logits.npz" in _sentence(results["ce", "val"], "one-file")
    assert results["bal", "val"]["verdict"] == "passed"


def _manifest(home: Home, path: Path, **changes: Any) -> dict[str, Any]:
    checkpoint = home.experts / "best_ce.pth"
    split = home.data / "digits_splits" / "val_indices.json"
    return {
        "expert": "ce",
        "split": {"name": "val", "sha256": sha256(split.read_bytes()).hexdigest()},
        "file": {"sha256": sha256(path.read_bytes()).hexdigest()},
        "checkpoint": {
            "folder": "experts/digits",
            "file": checkpoint.name,
            "sha256": sha256(checkpoint.read_bytes()).hexdigest(),
        },
    } | changes


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        (lambda _home, _path: None, []),
        (lambda home, _path: home.write_split("val", b"[0, 1,  2]"), ["manifest-split"]),
        (lambda home, _path: home.write_checkpoint("best_ce.pth").write_bytes(b"others"), ["manifest-checkpoint"]),
        (lambda _home, path: np.savez_compressed(path, **_arrays("val")), ["manifest-file"]),
        (lambda home, _path: (home.experts / "best_ce.pth").unlink(), []),
    ],
)
def test_results_that_are_stale_fail(
    home: Home, context: Context, folder: Path, change: Callable[[Home, Path], object], failed: list[str]
) -> None:
    """File, split and checkpoint are held against the manifest as they are now; no checkpoint is needed."""
    path = _write(folder, "ce", "val")
    path.with_suffix(".json").write_text(json.dumps(_manifest(home, path)))
    change(home, path)
    _, results = _check(context, _request(home, folder))
    assert _failed(results["ce", "val"]) == failed


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"\xff", b"{" * 9999, b'{"expert": "\\ud800", "split": {"name": "\\ud800"}}']
)
def test_a_manifest_that_is_none_fails_its_file_alone(
    home: Home, context: Context, folder: Path, content: bytes
) -> None:
    """No JSON object, or one that no answer could carry."""
    _write(folder, "ce", "val").with_suffix(".json").write_bytes(content)
    _write(folder, "bal", "val")
    _, results = _check(context, _request(home, folder))
    assert any(check.startswith("manifest") for check in _failed(results["ce", "val"]))
    assert results["ce", "val"]["metrics"]["accuracy"] == 1.0
    assert results["bal", "val"]["verdict"] == "passed"


@pytest.mark.parametrize(
    ("where", "file"),
    [("..", "secret"), ("/", "secret"), ("experts", "../../secret"), ("", ""), (".", "a\0b"), ("x/" * 4000, "y")],
)
def test_a_manifest_cannot_name_a_file_elsewhere(
    home: Home, context: Context, folder: Path, where: str, file: str
) -> None:
    """What leads out of the checkpoint directory is no checkpoint: its digest is never said."""
    secret = home.settings.checkpoints_dir.parent / "secret"
    secret.write_bytes(b"secret")
    path = _write(folder, "ce", "val")
    checkpoint = {"folder": where, "file": file, "sha256": sha256(b"secret").hexdigest()}
    path.with_suffix(".json").write_text(json.dumps(_manifest(home, path, checkpoint=checkpoint)))
    _, results = _check(context, _request(home, folder))
    (check,) = (check for check in results["ce", "val"]["checks"] if check["id"] == "manifest-checkpoint")
    assert (check["verdict"], check["measured"]) == ("skipped", None)


def test_what_no_file_shows_alone_is_said_of_the_whole(home: Home, context: Context, folder: Path) -> None:
    """Unnamed arrays, splits that share samples, and experts of one split, compared by targets and by outputs."""
    home.write_split("val", [0, 1, 2, 3] * 4)
    home.write_split("test", [3, 4])
    labels = np.array([0, 1, 2, 0] * 4)
    rng = np.random.default_rng(0)
    logits = rng.random((16, 3), dtype=np.float32)
    logits[np.arange(16), labels] += 2
    right: dict[str, Any] = {"logits": logits, "targets": labels, "predictions": labels}
    for expert, changes in {"a": {}, "copy": {}, "other": {"targets": np.roll(labels, 1)}}.items():
        (folder / expert).mkdir()
        np.savez(folder / expert / "val_logits.npz", **(right | changes))
    np.savez(
        folder / "a" / "test_logits.npz", logits=logits[:2], targets=[0, 1], predictions=logits[:2].argmax(axis=1)
    )
    (folder / "a" / "notes.npz").touch()
    found, _ = _check(context, _request(home, folder))
    said = {(check["id"], check["verdict"]): check for check in found["checks"]}
    assert found["verdict"] == "failed"
    assert said["names", "failed"]["evidence"] == ["a/notes.npz"]
    assert said["overlap", "failed"]["measured"]["shared"] == 1
    assert said["targets-between-experts", "failed"]["level"] == "error"
    pairs = [item["experts"] for item in said["duplicate-outputs", "failed"]["evidence"]]
    assert ["a", "copy"] in pairs


@pytest.mark.parametrize("value", [1e308, -1e308, 1e-308])
def test_huge_and_tiny_numbers_do_no_harm(home: Home, context: Context, folder: Path, value: float) -> None:
    """They fail by their dtype, and are compared and figured without overflow."""
    home.write_split("val", [0, 1, 2] * 5)
    logits = np.full((15, 3), value)
    logits[np.arange(15), np.arange(15) % 3] = -value
    for expert in ("a", "b"):
        (folder / expert).mkdir()
        np.savez(
            folder / expert / "val_logits.npz",
            logits=logits,
            targets=np.arange(15) % 3,
            predictions=logits.argmax(axis=1),
        )
    _, results = _check(context, _request(home, folder))
    assert _failed(results["a", "val"]) == ["dtypes"]


def test_floors_warn(home: Home, context: Context, folder: Path) -> None:
    """The request's standards reach each file."""
    arrays = _arrays("val")
    wrong = np.roll(arrays["logits"], 1, axis=1)
    _write(folder, "ce", "val", logits=wrong, predictions=wrong.argmax(axis=1))
    request = replace(_request(home, folder), standards=Standards(floors={"accuracy": 0.5}))
    found, results = _check(context, request)
    assert "floor" in _failed(results["ce", "val"], "warning")
    assert found["verdict"] == "passed"


def test_an_upload_is_verified_where_it_lies(home: Home, context: Context) -> None:
    """Its files are read from the upload's own folder."""
    uploads = Uploads(home.settings.uploads_dir)
    upload = uploads.create()
    root = uploads.folder(upload)
    _write(root, "ce", "val")
    request = replace(_request(home, root), path=None, upload=upload)
    _, results = _check(context, request)
    assert results["ce", "val"]["verdict"] == "passed"


def test_an_upload_that_was_deleted_cannot_be_verified(home: Home, context: Context) -> None:
    """Before the check began, the whole of it is refused by name."""
    uploads = Uploads(home.settings.uploads_dir)
    upload = uploads.create()
    _write(uploads.folder(upload), "ce", "val")
    request = replace(_request(home, uploads.folder(upload)), path=None, upload=upload)
    uploads.remove(upload)
    context.jobs.submit(request)
    with pytest.raises(NotFound, match="POST /uploads"):
        check_files(take(context.jobs), context)


def test_a_check_stops_between_two_files(home: Home, context: Context, folder: Path, store: JobStore) -> None:
    """Told to stop, or when its job is cancelled; nothing is recorded then."""
    _write(folder, "ce", "val")
    job = context.jobs.submit(_request(home, folder))
    claim = take(context.jobs)
    with pytest.raises(Stopped):
        check_files(claim, replace(context, stopping=lambda: True))
    store.cancel(job.id)
    with pytest.raises(Cancelled):
        check_files(claim, context)
    assert store.get(job.id).verification is None
