"""Manifests: is the file the one described, and are its checkpoint and split as they were?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from worker.verify.manifest_checks import Now, check_manifest, checkpoint_of, read_manifest, unreadable_manifest

NOW = Now("ce", "val", file_sha256="f" * 64, split_sha256="5" * 64, checkpoint_sha256="c" * 64)
MANIFEST: dict[str, Any] = {
    "expert": "ce",
    "split": {"name": "val", "sha256": "5" * 64},
    "file": {"sha256": "f" * 64},
    "checkpoint": {"folder": "experts", "file": "best_ce.pth", "sha256": "c" * 64},
}


def _verdicts(manifest: dict[str, Any] | None, now: Now = NOW) -> dict[str, str]:
    checks = check_manifest(manifest, now)
    json.dumps([check.to_dict() for check in checks], allow_nan=False, ensure_ascii=False).encode()
    assert all(check.message.endswith(".") for check in checks)
    return {check.id: check.verdict for check in checks}


ALL = dict.fromkeys(["manifest-name", "manifest-file", "manifest-split", "manifest-checkpoint"], "passed")


def test_what_is_as_the_manifest_says_passes() -> None:
    """File, split and checkpoint with the digests that were written down, under the names that were: four passes."""
    assert _verdicts(MANIFEST) == ALL


@pytest.mark.parametrize(
    ("changed", "check_id"),
    [
        ({"file_sha256": "0"}, "manifest-file"),
        ({"split_sha256": "0"}, "manifest-split"),
        ({"checkpoint_sha256": "0"}, "manifest-checkpoint"),
    ],
)
def test_what_changed_since_fails_as_stale(changed: dict[str, str], check_id: str) -> None:
    """One digest that differs is an error of its own, with both digests."""
    now = replace(NOW, **changed)
    assert _verdicts(MANIFEST, now) == ALL | {check_id: "failed"}
    (check,) = (check for check in check_manifest(MANIFEST, now) if check.verdict == "failed")
    assert check.level == "error"
    assert check.measured == {"sha256": "0"}
    assert "stale" in check.message


@pytest.mark.parametrize("changed", [{"expert": "bal"}, {"split": "test"}])
def test_a_file_under_other_names_warns(changed: dict[str, str]) -> None:
    """Renamed files may be right: a warning, with both names."""
    now = replace(NOW, **changed)
    assert _verdicts(MANIFEST, now) == ALL | {"manifest-name": "failed"}
    check = check_manifest(MANIFEST, now)[0]
    assert (check.level, check.expected) == ("warning", {"expert": "ce", "split": "val"})


@pytest.mark.parametrize(
    ("gone", "check_id"), [("split_sha256", "manifest-split"), ("checkpoint_sha256", "manifest-checkpoint")]
)
def test_what_is_not_to_be_had_is_not_compared(gone: str, check_id: str) -> None:
    """A checkpoint is not needed to verify logits: skipped, with the reason."""
    without: dict[str, Any] = {gone: None}
    now = replace(NOW, **without)
    assert _verdicts(MANIFEST, now) == ALL | {check_id: "skipped"}


def test_without_a_manifest_one_check_is_skipped() -> None:
    """The old scripts wrote none."""
    assert _verdicts(None) == {"manifest": "skipped"}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"split": None, "file": None, "checkpoint": None, "expert": None},
        {"split": "val", "file": "f" * 64, "checkpoint": [], "expert": ["ce"]},
        {"split": {"sha256": 5}, "file": {"sha256": None}, "checkpoint": {"sha256": {}}, "expert": 1.5},
        {"expert": {"a": float("nan")}},
    ],
)
def test_a_manifest_that_says_nothing_fails_and_never_raises(wrong: dict[str, Any]) -> None:
    """Missing entries and wrong types: each digest is missed by name."""
    assert set(_verdicts(wrong).values()) == {"failed"}
    assert "does not say which checkpoint" in check_manifest(wrong, NOW)[3].message


@pytest.mark.parametrize("text", ["\ud800", "x" * 10**6])
def test_what_no_answer_could_carry_is_shown_in_part(text: str) -> None:
    """Halves of characters and endless names come out of JSON, and must not go into an answer."""
    wrong = {"expert": text, "split": {"name": text, "sha256": text}, "file": {"sha256": text}}
    assert set(_verdicts(wrong).values()) == {"failed"}
    assert all(len(check.message) < 1000 for check in check_manifest(wrong, NOW))


@pytest.mark.parametrize("part", [None, "best_ce.pth", [], {}, {"folder": "experts"}, {"folder": 1, "file": "a"}])
def test_a_checkpoint_is_named_by_folder_and_file(part: object) -> None:
    """Without both there is none."""
    assert checkpoint_of(MANIFEST) == ("experts", "best_ce.pth")
    assert checkpoint_of({"checkpoint": part}) is None


def test_a_manifest_is_read_where_there_is_one(tmp_path: Path) -> None:
    """None where there is no file."""
    path = tmp_path / "val_logits.json"
    assert read_manifest(path) is None
    path.write_text(json.dumps(MANIFEST))
    assert read_manifest(path) == MANIFEST


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"]
)
def test_what_is_no_json_object_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    """Other bytes and other values are said by the file's name; a failed check says so."""
    path = tmp_path / "val_logits.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"val_logits\.json") as caught:
        read_manifest(path)
    (check,) = unreadable_manifest(str(caught.value))
    assert (check.id, check.level, check.verdict) == ("manifest", "error", "failed")


def test_a_folder_in_place_of_a_manifest_cannot_be_read(tmp_path: Path) -> None:
    """As any file that cannot be opened."""
    with pytest.raises(ValueError, match="cannot be read"):
        read_manifest(tmp_path)
