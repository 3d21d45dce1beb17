"""Artifacts: format, atomicity, determinism, copies."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from app.errors import JobError, TransientError
from app.objects import object_path
from worker.artifacts import Logits, publish, read_object, write_object

CONTENT = Logits(
    np.array([[0.5, 2.0, 2.0], [1.0, -1.0, 0.0]], np.float32),
    np.array([1, 2], np.int64),
)


def test_the_file_is_that_of_the_old_scripts(tmp_path: Path) -> None:
    """logits float32, targets and predictions int64, predictions the first of the largest logits."""
    sha256, size = write_object(tmp_path, CONTENT)
    path = object_path(tmp_path, sha256)
    assert path.stat().st_size == size
    with np.load(path, allow_pickle=False) as arrays:
        assert {name: (a.dtype, a.shape) for name, a in arrays.items()} == {
            "logits": (np.float32, (2, 3)),
            "targets": (np.int64, (2,)),
            "predictions": (np.int64, (2,)),
        }
        assert arrays["predictions"].tolist() == [1, 0]


def test_equal_content_gives_equal_bytes_and_one_file(tmp_path: Path) -> None:
    """The name is the digest; writing it again changes nothing and leaves nothing behind."""
    first = write_object(tmp_path, CONTENT)
    assert write_object(tmp_path, Logits(CONTENT.logits.copy(), CONTENT.targets.copy())) == first
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [object_path(tmp_path, first[0])]
    assert hashlib.sha256(files[0].read_bytes()).hexdigest() == first[0]


@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: data[:60] + b"\x00" + data[61:]])
def test_a_damaged_file_is_never_read(tmp_path: Path, damage: object) -> None:
    """One byte is enough."""
    sha256, _ = write_object(tmp_path, CONTENT)
    path = object_path(tmp_path, sha256)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(JobError, match="sha256") as caught:
        read_object(path, sha256)
    assert caught.value.code == "artifact-damaged"


def test_the_shown_file_is_a_copy_of_its_own(tmp_path: Path) -> None:
    """Saving over the file under outputs/ never writes through to the job's own."""
    sha256, _ = write_object(tmp_path / "objects", CONTENT)
    source = object_path(tmp_path / "objects", sha256)
    target = tmp_path / "outputs" / "expert" / "val_logits.npz"
    publish(source, target, {"file": {"sha256": sha256}}, tmp_path / "lock")
    assert target.read_bytes() == source.read_bytes()
    assert json.loads(target.with_suffix(".json").read_text()) == {"file": {"sha256": sha256}}
    with target.open("r+b") as stream:
        stream.write(b"somebody's np.savez")
    assert hashlib.sha256(source.read_bytes()).hexdigest() == sha256
    assert sorted(p.name for p in target.parent.iterdir()) == ["val_logits.json", "val_logits.npz"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """Whoever reads during or after a failure sees the old file, whole, and no half one."""
    sha256, _ = write_object(tmp_path / "objects", CONTENT)
    target = tmp_path / "out" / "val_logits.npz"
    publish(object_path(tmp_path / "objects", sha256), target, {}, tmp_path / "lock")
    before = target.read_bytes()
    with pytest.raises(TransientError):
        publish(tmp_path / "objects" / "gone.npz", target, {}, tmp_path / "lock")
    assert target.read_bytes() == before
    assert sorted(p.name for p in target.parent.iterdir()) == ["val_logits.json", "val_logits.npz"]


def test_files_of_two_jobs_never_mix(tmp_path: Path) -> None:
    """Whoever comes last, the .npz and its manifest are of one job, and nothing is left beside them."""
    made = {}
    for value in (0.0, 1.0):
        content = Logits(np.full((400, 50), value, np.float32), np.zeros(400, np.int64))
        made[value], _ = write_object(tmp_path / "objects", content)
    target = tmp_path / "out" / "val_logits.npz"

    def show(value: float) -> None:
        for _ in range(15):
            source = object_path(tmp_path / "objects", made[value])
            publish(source, target, {"sha256": made[value]}, tmp_path / "lock")

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(show, made))
    shown = json.loads(target.with_suffix(".json").read_text())["sha256"]
    assert hashlib.sha256(target.read_bytes()).hexdigest() == shown
    assert sorted(p.name for p in target.parent.iterdir()) == ["val_logits.json", "val_logits.npz"]


def test_a_manifest_that_cannot_be_written_leaves_the_old_pair(tmp_path: Path) -> None:
    """Both files are whole before either is shown."""
    sha256, _ = write_object(tmp_path / "objects", CONTENT)
    source = object_path(tmp_path / "objects", sha256)
    target = tmp_path / "out" / "val_logits.npz"
    publish(source, target, {"job": "first"}, tmp_path / "lock")
    target.unlink()
    with pytest.raises(TypeError):
        publish(source, target, {"job": object()}, tmp_path / "lock")
    assert sorted(p.name for p in target.parent.iterdir()) == ["val_logits.json"]
