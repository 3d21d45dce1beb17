"""Artifacts: format, atomicity, determinism, copies."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.domain.errors import JobError, TransientError
from app.files.artifacts import artifact_path
from tests.unit.mapped import mapped
from worker.outputs.artifacts import Logits, drafted, publish, read_arrays, read_rows

CONTENT = Logits(np.array([[0.5, 2.0, 2.0], [1.0, -1.0, 0.0]], np.float32), np.array([1, 2], np.int64))


def published(root: Path, content: Logits, manifest: dict[str, Any]) -> tuple[Path, Path]:
    """The job's own file and the shown one, below the given folder."""
    target = root / "out" / "expert" / "val_logits.npz"
    with drafted(root / "objects", content) as draft:
        return publish(draft, root / "objects", target, manifest, root / "lock"), target


def files(root: Path) -> list[str]:
    """Names of all files but the lock, without their folders."""
    return sorted(path.name for path in root.rglob("*") if path.is_file() and path.name != "lock")


def test_the_file_is_that_of_the_old_scripts(tmp_path: Path) -> None:
    """logits float32, targets and predictions int64, predictions the first of the largest logits."""
    path, _ = published(tmp_path, CONTENT, {})
    with np.load(path, allow_pickle=False) as arrays:
        assert {name: (a.dtype, a.shape) for name, a in arrays.items()} == {
            "logits": (np.float32, (2, 3)),
            "targets": (np.int64, (2,)),
            "predictions": (np.int64, (2,)),
        }
        assert arrays["predictions"].tolist() == [1, 0]


def test_equal_content_gives_equal_bytes_and_one_file(tmp_path: Path) -> None:
    """The name is the digest; publishing it again changes nothing and leaves nothing behind."""
    own, shown = published(tmp_path, CONTENT, {})
    sha256 = hashlib.sha256(own.read_bytes()).hexdigest()
    assert own == artifact_path(tmp_path / "objects", sha256)
    assert published(tmp_path, Logits(CONTENT.logits.copy(), CONTENT.targets.copy()), {}) == (own, shown)
    assert files(tmp_path) == sorted([f"{sha256}.npz", "val_logits.json", "val_logits.npz"])


def test_a_draft_that_is_not_published_leaves_nothing(tmp_path: Path) -> None:
    """A unit that fails its verification, or is cancelled, leaves no file that nobody knows."""
    with drafted(tmp_path / "objects", CONTENT) as draft:
        assert draft.path.stat().st_size == draft.size
        assert hashlib.sha256(draft.path.read_bytes()).hexdigest() == draft.sha256
    assert files(tmp_path) == []


@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: data[:60] + b"\x00" + data[61:]])
def test_a_damaged_file_is_never_read(tmp_path: Path, damage: object) -> None:
    """One byte is enough."""
    with drafted(tmp_path, CONTENT) as draft:
        draft.path.write_bytes(damage(draft.path.read_bytes()))  # type: ignore[operator]
        with pytest.raises(JobError, match="sha256") as caught:
            read_arrays(draft.path, draft.sha256)
    assert caught.value.code == "artifact-damaged"


def test_rows_of_a_file_with_another_digest_are_never_read(tmp_path: Path) -> None:
    """One changed logit, with the file's times as they were, is found before any row is taken."""
    own, _ = published(tmp_path, CONTENT, {})
    with mapped(own) as rewriter:
        rewriter.write(own.read_bytes().replace(np.float32(0.5).tobytes(), np.float32(0.75).tobytes(), 1))
    with pytest.raises(JobError, match="Run the job again") as caught:
        read_rows(own, own.stem, np.array([0]))
    assert caught.value.code == "artifact-damaged"


def test_the_shown_file_is_a_copy_of_its_own(tmp_path: Path) -> None:
    """Saving over the file under outputs/ never writes through to the job's own."""
    own, shown = published(tmp_path, CONTENT, {"job": "first"})
    before = own.read_bytes()
    assert shown.read_bytes() == before
    assert json.loads(shown.with_suffix(".json").read_text()) == {"job": "first"}
    with shown.open("r+b") as stream:
        stream.write(b"somebody's np.savez")
    assert own.read_bytes() == before


def test_a_failed_copy_leaves_the_old_pair(tmp_path: Path) -> None:
    """Whoever reads during or after a failure sees the old files, whole, and no half one."""
    _, shown = published(tmp_path, CONTENT, {"job": "first"})
    before = shown.read_bytes()
    with drafted(tmp_path / "objects", CONTENT) as draft:
        cut = replace(draft, size=draft.size + 1)  # as if the copy had come out short
        with pytest.raises(TransientError, match="copied whole"):
            publish(cut, tmp_path / "objects", shown, {"job": "second"}, tmp_path / "lock")
    assert shown.read_bytes() == before
    assert json.loads(shown.with_suffix(".json").read_text()) == {"job": "first"}
    assert len(files(tmp_path)) == 3


def test_files_of_two_jobs_never_mix(tmp_path: Path) -> None:
    """Whoever comes last, the .npz and its manifest are of one job, and nothing is left beside them."""

    def show(value: float) -> None:
        content = Logits(np.full((400, 50), value, np.float32), np.zeros(400, np.int64))
        for _ in range(15):
            published(tmp_path, content, {"value": value})

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(show, (0.0, 1.0)))
    shown = tmp_path / "out" / "expert" / "val_logits.npz"
    with np.load(shown) as arrays:
        assert json.loads(shown.with_suffix(".json").read_text())["value"] == arrays["logits"][0, 0]
    assert sorted(p.name for p in shown.parent.iterdir()) == ["val_logits.json", "val_logits.npz"]


def test_a_manifest_that_cannot_be_written_leaves_the_old_pair(tmp_path: Path) -> None:
    """Both files are whole before either is shown."""
    _, shown = published(tmp_path, CONTENT, {"job": "first"})
    other = Logits(CONTENT.logits + 1, CONTENT.targets)
    before = shown.read_bytes()
    with pytest.raises(TypeError):
        published(tmp_path, other, {"job": object()})
    assert shown.read_bytes() == before
    assert len(files(tmp_path)) == 3


@pytest.mark.parametrize("rows", [[], [0], [999], [3, 500, 501], [7, 7, 0], list(range(1000))])
def test_some_rows_are_read_without_the_others(tmp_path: Path, rows: list[int]) -> None:
    """In the order asked for, bit by bit what the whole array holds there."""
    logits = np.random.default_rng(0).random((1000, 7), dtype=np.float32)
    with drafted(tmp_path, Logits(logits, np.zeros(1000, np.int64))) as draft:
        read = read_rows(draft.path, draft.sha256, np.array(rows, np.int64))
    assert (str(read.dtype), read.shape) == ("float32", (len(rows), 7))
    assert read.tobytes() == logits[rows].tobytes()


@pytest.mark.parametrize(
    "content",
    [b"", b"no zip", {"targets": np.arange(3)}, {"logits": np.arange(3.0)}],
    ids=["empty", "text", "no logits", "another rank"],
)
def test_rows_of_what_is_no_artifact_are_refused(tmp_path: Path, content: Any) -> None:
    """A damaged file is named."""
    path = tmp_path / "x.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, **content)
    with pytest.raises(JobError, match=r"x\.npz") as caught:
        read_rows(path, hashlib.sha256(path.read_bytes()).hexdigest(), np.array([0, 2]))
    assert caught.value.code == "artifact-damaged"
