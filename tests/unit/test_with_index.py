"""Downloads with the samples of their rows, and what a verification makes of such files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import relogit
from tests.unit.command_line import Relogit
from tests.unit.exported import LISTS, answer_list, same_bits, world
from tests.unit.fake_server import JOB_ID
from tests.unit.verified import TRUTH, good
from worker.outputs.logit_reader import read_stored
from worker.verify.report import verify_unit


def test_arrays_stay_and_samples_are_added(tmp_path: Path) -> None:
    """The three arrays keep their bits; sample_index and base are those of the list; the manifest fits the file."""
    source = world()
    for saved in source.job.download(tmp_path, with_index=True):
        split = saved.path.name.removesuffix("_logits.npz")
        arrays = source.arrays[saved.path.parent.name, split]
        with np.load(saved.path, allow_pickle=False) as local:
            assert local["sample_index"].dtype == np.int64
            assert local["sample_index"].tolist() == LISTS[split]
            assert local["base"] == "test"
            for name in ("logits", "targets", "predictions"):
                assert same_bits(local[name], getattr(arrays, name))
        digest = hashlib.sha256(saved.path.read_bytes()).hexdigest()
        file = json.loads(saved.path.with_suffix(".json").read_text())["file"]
        assert saved.sha256 == file["sha256"] == digest
        assert file["artifact"]["sha256"] in {artifact["sha256"] for artifact in source.artifacts}


def test_a_changed_list_writes_nothing(tmp_path: Path) -> None:
    """A row gets no sample from another list than the job's; the check comes before the first file."""
    source = world()
    answer_list(source.server, "test", LISTS["test"][::-1], sha256="other")
    with pytest.raises(relogit.StaleList):
        source.job.download(tmp_path, with_index=True)
    assert not list(tmp_path.iterdir())


def test_a_plain_download_replaces_the_file(tmp_path: Path) -> None:
    """Without --with-index the file is the artifact again."""
    source = world()
    source.job.download(tmp_path, with_index=True)
    saved = source.job.download(tmp_path)
    assert all(file.fetched for file in saved)
    assert [file.sha256 for file in saved] == [artifact["sha256"] for artifact in source.artifacts]


def test_command_says_what_it_added(relogit: Relogit, tmp_path: Path) -> None:
    """The last line names the two arrays."""
    ran = relogit(world().server, "download", JOB_ID, "--to", str(tmp_path), "--with-index")
    assert ran.code == 0
    assert ran.out.splitlines()[-1] == "4 files, each fetched with the right sha256; sample_index and base added."


def checks_of(**arrays: NDArray[Any]) -> tuple[dict[str, Any], str]:
    report = verify_unit({**good(), **arrays}, TRUTH)
    return {check.id: check for check in report.checks}, report.verdict


def test_verification_accepts_samples() -> None:
    """A file with the split's own samples passes, with one check more."""
    checks, verdict = checks_of(sample_index=TRUTH.indices, base=np.array(TRUTH.base))
    assert verdict == "passed"
    assert checks["arrays"].verdict == checks["samples"].verdict == "passed"
    assert "samples" not in checks_of()[0]
    assert checks_of(base=np.array(TRUTH.base, ">U9"))[1] == "passed"


@pytest.mark.parametrize(
    "arrays",
    [
        {"base": np.array("train")},
        {"base": np.array(["test"])},
        {"base": np.array(3)},
        {"base": np.array("\ud800")},
        {"base": np.frombuffer(b"\xff\xff\xff\xff", "<U1").reshape(())},
        {"sample_index": TRUTH.indices[::-1]},
        {"sample_index": TRUTH.indices[:-1]},
        {"sample_index": TRUTH.indices.astype(np.float64)},
        {"sample_index": TRUTH.indices.reshape(-1, 1)},
    ],
)
def test_contradicting_samples_fail(arrays: dict[str, NDArray[Any]]) -> None:
    """Samples of another base, order, length or type are an error, and no metric is computed."""
    checks, verdict = checks_of(**arrays)
    assert verdict == "failed"
    assert {id_ for id_, check in checks.items() if check.level == "error" and check.verdict == "failed"} == {
        "samples"
    }


def test_a_differing_row_is_shown() -> None:
    """The evidence names the row, its sample and the right one."""
    samples = TRUTH.indices.copy()
    samples[[3, 4]] = samples[[4, 3]]
    check = checks_of(sample_index=samples)[0]["samples"]
    assert check.measured["differing_rows"] == 2
    assert check.evidence[0] == {"row": 3, "found": int(samples[3]), "expected": int(TRUTH.indices[3])}


def test_a_huge_index_is_not_read(tmp_path: Path) -> None:
    """An array far too large is not read, and fails."""
    arrays: dict[str, Any] = {**good(), "sample_index": np.zeros(2_000_000, np.int64)}
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    stored = read_stored(tmp_path / "x.npz", len(TRUTH.labels), TRUTH.classes)
    assert stored.arrays["sample_index"].strides == (0,)
    assert verify_unit(stored.arrays, TRUTH).verdict == "failed"
