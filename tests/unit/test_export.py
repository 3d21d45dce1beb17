"""Exports of a job's logits: what stands in the files, and what is refused."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.special import softmax

import relogit
from relogit.export import FORMATS, Format, export_job
from tests.unit.command_line import Relogit
from tests.unit.exported import EXPERTS, LISTS, World, answer_list, artifact, same_bits, world
from tests.unit.fake_server import JOB_ID, problem
from tests.unit.snapshots import Transcript


def read_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def test_parquet_round_trip(tmp_path: Path) -> None:
    """Logits, labels and samples come back from Parquet bit for bit, in fixed-size lists."""
    source = world()
    export_job(source.job, "parquet", tmp_path / "out")
    for split, indices in LISTS.items():
        table = pq.read_table(tmp_path / "out" / f"{split}.parquet")
        assert table["sample_id"].to_pylist() == [f"test:{index}" for index in indices]
        assert table["sample_index"].to_pylist() == indices
        assert set(table["base"].to_pylist()) == {"test"}
        for expert in EXPERTS:
            arrays, column = source.arrays[expert, split], table[f"logits/{expert}"]
            assert str(column.type) == "fixed_size_list<element: float>[3]"
            flat = column.combine_chunks().flatten().to_numpy()
            assert same_bits(flat.reshape(-1, 3), arrays.logits)
            assert same_bits(table["label"].to_numpy(), arrays.targets)
            assert same_bits(table[f"prediction/{expert}"].to_numpy(), arrays.predictions)


def test_parquet_names_its_sources(tmp_path: Path) -> None:
    """The metadata hold job, digests of files and checkpoints, and versions; pandas reads the file."""
    source = world()
    export_job(source.job, "parquet", tmp_path / "out")
    metadata = json.loads(pq.read_schema(tmp_path / "out" / "val.parquet").metadata[b"relogit"])
    assert metadata["job"] == JOB_ID
    expected = {one["expert"]: one["sha256"] for one in source.artifacts if one["split"] == "val"}
    assert {file["expert"]: file["sha256"] for file in metadata["sources"]} == expected
    assert [file["checkpoint"]["sha256"] for file in metadata["sources"]] == ["weights-ce", "weights-ls"]
    assert set(metadata["versions"]) == {"relogit", "pyarrow", "numpy"}
    frame = pd.read_parquet(tmp_path / "out" / "val.parquet")
    assert same_bits(np.stack(frame["logits/ce"].tolist()), source.arrays["ce", "val"].logits)


def test_stack_round_trip(tmp_path: Path) -> None:
    """A stack holds the experts' logits in the order that it names."""
    source = world()
    export_job(source.job, "stack", tmp_path / "out")
    for split, indices in LISTS.items():
        stack = read_npz(tmp_path / "out" / f"{split}.npz")
        assert stack["experts"].tolist() == list(EXPERTS)
        assert stack["sample_index"].tolist() == indices
        assert stack["base"] == "test"
        assert same_bits(stack["targets"], source.arrays["ce", split].targets)
        for row, expert in enumerate(EXPERTS):
            assert same_bits(stack["logits"][row], source.arrays[expert, split].logits)


def test_probabilities_are_softmax(tmp_path: Path) -> None:
    """pred-probs are scipy's softmax in float64; a note says what cleanlab needs."""
    source = world()
    exported = export_job(source.job, "pred-probs", tmp_path / "out")
    for (expert, split), arrays in source.arrays.items():
        probabilities = np.load(tmp_path / "out" / "pred_probs" / expert / f"{split}.npy")
        assert probabilities.dtype == np.float64
        np.testing.assert_allclose(probabilities, softmax(arrays.logits.astype(np.float64), axis=1), rtol=1e-13)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-15)
        assert same_bits(np.load(tmp_path / "out" / "labels" / f"{split}.npy"), arrays.targets)
    assert "in-sample" in exported.notes[0]


def test_fd_shifts_reads_its_layout(tmp_path: Path) -> None:
    """fd-shifts takes all columns of arr_0 but two as logits, then label and data set; val is data set 0."""
    source = world(lists={"test": LISTS["test"], "val": LISTS["val"]})
    export_job(source.job, "fd-shifts", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "datasets.json").read_text()) == ["val", "test"]
    raw = read_npz(tmp_path / "out" / "ce" / "test_results" / "raw_logits.npz")["arr_0"]
    logits, labels, numbers = raw[:, :-2], raw[:, -2], raw[:, -1]
    for number, split in enumerate(("val", "test")):
        arrays = source.arrays["ce", split]
        assert same_bits(logits[numbers == number].astype(np.float32), arrays.logits)
        assert labels[numbers == number].tolist() == arrays.targets.tolist()


def test_fiftyone_labels(tmp_path: Path) -> None:
    """FiftyOne's labels have classes, and for each image a class's number; predictions add the confidence."""
    source = world()
    export_job(source.job, "fiftyone", tmp_path / "out")
    arrays = source.arrays["ce", "val"]
    keys = [f"test/{index}" for index in LISTS["val"]]
    truth = json.loads((tmp_path / "out" / "val" / "labels.json").read_text())
    assert truth == {"classes": ["0", "1", "2"], "labels": dict(zip(keys, arrays.targets.tolist(), strict=True))}
    predicted = json.loads((tmp_path / "out" / "val" / "predictions" / "ce.json").read_text())["labels"]
    assert [predicted[key]["label"] for key in keys] == arrays.predictions.tolist()
    confidence = softmax(arrays.logits.astype(np.float64), axis=1).max(axis=1)
    np.testing.assert_allclose([predicted[key]["confidence"] for key in keys], confidence, rtol=1e-13)
    assert same_bits(np.load(tmp_path / "out" / "val" / "logits" / "ce.npy"), arrays.logits)


@pytest.mark.parametrize("to", FORMATS)
def test_every_export_describes_its_files(to: Format, tmp_path: Path) -> None:
    """export.json lists every other file with its sha256, and the files that the logits come from."""
    source = world()
    exported = export_job(source.job, to, tmp_path / "a" / "out")
    described = json.loads((tmp_path / "a" / "out" / "export.json").read_text())
    files = {path for path in (tmp_path / "a" / "out").rglob("*") if path.is_file()}
    listed = {tmp_path / "a" / "out" / file["name"]: file["sha256"] for file in described["files"]}
    assert set(listed) == files - {tmp_path / "a" / "out" / "export.json"}
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == sha256 for path, sha256 in listed.items())
    assert [one["sha256"] for one in described["sources"]] == [one["sha256"] for one in ordered(source)]
    assert len(exported.files) == len(files)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["out"]


def ordered(source: World) -> list[dict[str, Any]]:
    return [one for split in LISTS for one in source.artifacts if one["split"] == split]


def test_an_earlier_export_is_replaced_only_by_force(tmp_path: Path) -> None:
    """Without force an export stays as it is; with force the new one takes its place whole."""
    source = world()
    export_job(source.job, "parquet", tmp_path / "out")
    with pytest.raises(relogit.Refused, match="--force"):
        export_job(source.job, "stack", tmp_path / "out")
    export_job(source.job, "stack", tmp_path / "out", force=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["export.json", "test.npz", "val.npz"]


def test_force_deletes_nothing_but_exports(tmp_path: Path) -> None:
    """A folder with other files, a file and a link are refused, with force too."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    for name in ("mine", "file", "link"):
        with pytest.raises(relogit.Refused):
            export_job(world().job, "stack", tmp_path / name, force=True)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "x"
    (tmp_path / "empty").mkdir()
    export_job(world().job, "stack", tmp_path / "empty")


@pytest.mark.parametrize(("state", "verdict"), [("running", None), ("failed", None), ("succeeded", "failed")])
def test_only_verified_results_are_exported(state: str, verdict: str | None, tmp_path: Path) -> None:
    """A job that has not succeeded, or whose verification failed, is refused, and nothing is written."""
    with pytest.raises(relogit.Refused, match="only verified results"):
        export_job(world(state=state, verdict=verdict).job, "stack", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_changed_list_is_refused(tmp_path: Path) -> None:
    """Where the list is another than the job's, or gone, no row is given a sample; nothing is left behind."""
    source = world()
    answer_list(source.server, "test", [1, 2, 3, 4], sha256="other")
    with pytest.raises(relogit.StaleList, match="sha256 other"):
        export_job(source.job, "stack", tmp_path / "out")
    source.server.answers["GET /splits/set/test"] = problem(404, "split-not-found", "There is no list 'test'.")
    with pytest.raises(relogit.StaleList, match="no list 'test'"):
        export_job(source.job, "stack", tmp_path / "out")
    answer_list(source.server, "test", [1, 2])
    with pytest.raises(relogit.IntegrityError, match="2 samples"):
        export_job(source.job, "stack", tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../ce", "/ce", "a/b", "a\\b", "", ".hidden", "..", "C:ce", "a\nb", "a\0"])
def test_hostile_names_are_refused(name: str, tmp_path: Path) -> None:
    """A server's name that is no plain name becomes no path."""
    for expert, split in ((name, "val"), ("ce", name)):
        source = world()
        listed = {"artifacts": [artifact(expert, split, b"", 3)]}
        source.server.answers[f"GET /jobs/{JOB_ID}/artifacts"] = httpx.Response(200, json=listed)
        with pytest.raises(relogit.IntegrityError, match="no plain name"):
            export_job(source.job, "stack", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_fiftyone_needs_single_samples(tmp_path: Path) -> None:
    """An image that a list names twice would have two labels; other formats keep both rows."""
    source = world(lists={"val": [4, 4]})
    with pytest.raises(relogit.Refused, match="twice"):
        export_job(source.job, "fiftyone", tmp_path / "out")
    export_job(source.job, "parquet", tmp_path / "out")
    assert pq.read_table(tmp_path / "out" / "val.parquet")["sample_index"].to_pylist() == [4, 4]


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow the error says what to install."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(relogit.MissingExtra, match=r"pip install 'relogit\[export\]'"):
        export_job(world().job, "parquet", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_command(transcript: Transcript, relogit: Relogit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command lists the files with their sha256; a refusal exits with 2."""
    monkeypatch.chdir(tmp_path)
    ran = relogit(world().server, "export", JOB_ID, "--to", "pred-probs", "-o", "out")
    for file in json.loads((tmp_path / "out" / "export.json").read_text())["files"]:
        assert re.search(rf"^{file['name']} +{file['bytes']} B {file['sha256']}$", ran.out, re.MULTILINE)
    assert "in-sample" in ran.out
    transcript.run("Again", world().server, "export", "--to", "parquet", "-o", "out")
    failed = world(state="failed", verdict=None).server
    transcript.run("Not verified", failed, "export", "--to", "stack", "-o", "other")
    transcript.run("Unknown format", world().server, "export", "--to", "csv", "-o", "other")
    (tmp_path / "file").write_text("x")
    transcript.run("No folder", world().server, "export", "--to", "stack", "-o", "file/below")
    transcript.check("export")
    ran = relogit(world().server, "export", "--to", "stack", "-o", "out", "--force", "--json")
    assert [file["name"] for file in json.loads(ran.out)["files"]] == ["test.npz", "val.npz", "export.json"]
