"""Verifying files that have manifests: stale results, and manifests that are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from app.store.database import Database
from tests.fakes import Home
from tests.unit.file_checks import Outputs, arrays_of, failed_checks, manifest_of


@pytest.fixture
def outputs(home: Home, database: Database) -> Outputs:
    return Outputs.make(home, database)


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        (lambda _home, _path: None, []),
        (lambda home, _path: home.write_split("val", b"[0, 1,  2]"), ["manifest-split"]),
        (lambda home, _path: home.write_checkpoint("best_ce.pth").write_bytes(b"others"), ["manifest-checkpoint"]),
        (lambda _home, path: np.savez_compressed(path, **arrays_of("val")), ["manifest-file"]),
        (lambda home, _path: (home.experts / "best_ce.pth").unlink(), []),
    ],
)
def test_results_that_are_stale_fail(
    outputs: Outputs, change: Callable[[Home, Path], object], failed: list[str]
) -> None:
    """File, split and checkpoint are held against the manifest as they are now; no checkpoint is needed."""
    path = outputs.write("ce", "val")
    path.with_suffix(".json").write_text(json.dumps(manifest_of(outputs.home, path)))
    change(outputs.home, path)
    _, results = outputs.check()
    assert failed_checks(results["ce", "val"]) == failed


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"\xff", b"{" * 9999, b'{"expert": "\\ud800", "split": {"name": "\\ud800"}}']
)
def test_a_manifest_that_is_none_fails_its_file_alone(outputs: Outputs, content: bytes) -> None:
    """No JSON object, or one that no answer could carry."""
    outputs.write("ce", "val").with_suffix(".json").write_bytes(content)
    outputs.write("bal", "val")
    _, results = outputs.check()
    assert any(check.startswith("manifest") for check in failed_checks(results["ce", "val"]))
    assert results["ce", "val"]["metrics"]["accuracy"] == 1.0
    assert results["bal", "val"]["verdict"] == "passed"


@pytest.mark.parametrize(
    ("where", "file"),
    [("..", "secret"), ("/", "secret"), ("experts", "../../secret"), ("", ""), (".", "a\0b"), ("x/" * 4000, "y")],
)
def test_a_manifest_cannot_name_a_file_elsewhere(outputs: Outputs, where: str, file: str) -> None:
    """What leads out of the checkpoint directory is no checkpoint: its digest is never said."""
    secret = outputs.home.settings.checkpoints_dir.parent / "secret"
    secret.write_bytes(b"secret")
    path = outputs.write("ce", "val")
    checkpoint = {"folder": where, "file": file, "sha256": sha256(b"secret").hexdigest()}
    path.with_suffix(".json").write_text(json.dumps(manifest_of(outputs.home, path, checkpoint=checkpoint)))
    _, results = outputs.check()
    (check,) = (check for check in results["ce", "val"]["checks"] if check["id"] == "manifest-checkpoint")
    assert (check["verdict"], check["measured"]) == ("skipped", None)
