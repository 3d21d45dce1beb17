"""Verifying files with rows computed anew: which checkpoint is taken, what is skipped, and where work stops."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.catalog.datasets import Transform
from app.domain.requests import VerificationRequest
from app.store.database import Database
from tests.fakes import DIGITS, Home, take
from tests.unit.file_checks import Outputs, failed_checks, manifest_of, sentence
from worker.compute.engines.pixels import normalise
from worker.context import Stopped
from worker.experts.architectures import CifarResNetSpec
from worker.tasks.check import check_files

SPEC = CifarResNetSpec((1, 1, 1), (4, 8, 8), 3)
ROWS = 50
SPLIT = np.random.default_rng(0).permutation(60)[:ROWS]


@dataclass(frozen=True)
class Tiny:
    """An installation whose expert `ce` has a checkpoint, and the logits that it gives for `val`."""

    outputs: Outputs
    network: torch.nn.Module
    images: NDArray[np.uint8]

    @property
    def experts(self) -> Path:
        return self.outputs.home.experts

    def logits(self, transform: Transform | None = None) -> NDArray[np.float32]:
        """[N, C], all in one batch."""
        usual = self.outputs.home.catalog().dataset("digits").transform("ce")
        with torch.inference_mode():
            pixels = normalise(torch.from_numpy(self.images[SPLIT]), transform or usual)
            raw: NDArray[np.float32] = self.network(pixels).numpy()
        return raw

    def write(self, logits: NDArray[Any], expert: str = "ce") -> Path:
        labels = SPLIT % 3
        return self.outputs.write(expert, "val", logits=logits, targets=labels, predictions=logits.argmax(axis=1))

    def check(self, rows: int = 20, **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The result of (ce, val), and its check."""
        _, results = self.outputs.check(self.request(rows, **changes))
        result = results["ce", "val"]
        [check] = [check for check in result["checks"] if check["id"] == "recomputed-sample"]
        return result, check

    def request(self, rows: int = 20, **changes: Any) -> VerificationRequest:
        return replace(self.outputs.request(), recompute=rows, **changes)


@pytest.fixture
def tiny(home: Home, database: Database) -> Tiny:
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    np.savez(home.data / "digits" / "test.npz", images=images, labels=np.arange(60) % 3)
    home.write_split("val", SPLIT.tolist())
    torch.manual_seed(0)
    network = SPEC.build().eval()
    torch.save(network.state_dict() | {"temperature": torch.tensor([2.0])}, home.experts / "best_ce.pth")
    return Tiny(Outputs.make(home, database), network, images)


def _manifest(tiny: Tiny, path: Path, **changes: Any) -> None:
    path.with_suffix(".json").write_text(json.dumps(manifest_of(tiny.outputs.home, path, **changes)))


def _provenance(tiny: Tiny, rows: int) -> dict[str, Any]:
    found, _ = tiny.outputs.check(tiny.request(rows))
    [check] = [check for check in found["checks"] if check["id"] == "provenance"]
    return dict(check)


def test_right_rows_pass(tiny: Tiny) -> None:
    """Without a manifest the checkpoint is that of the expert's name; then it is known where the rows come from."""
    tiny.write(tiny.logits())
    _, check = tiny.check()
    assert (check["verdict"], check["measured"]["rows"]) == ("passed", 20)
    assert check["measured"]["checkpoint"] == "best_ce.pth"
    digest = sha256((tiny.experts / "best_ce.pth").read_bytes()).hexdigest()
    assert check["measured"]["checkpoint_sha256"] == digest
    assert _provenance(tiny, 20)["verdict"] == "passed"
    assert _provenance(tiny, 0)["verdict"] == "skipped"
    (tiny.experts / "best_ce.pth").unlink()  # a sample that is skipped says nothing of the origin
    assert _provenance(tiny, 20)["evidence"] == [{"expert": "ce", "split": "val"}]


def test_rows_that_moved_within_a_class_fail(tiny: Tiny) -> None:
    """What no other check can see: predictions, targets and every figure stay as they are."""
    logits = tiny.logits()
    own = np.flatnonzero(SPLIT % 3 == 1)
    moved = logits.copy()
    moved[own] = logits[np.roll(own, 1)]
    tiny.write(moved)
    result, check = tiny.check(ROWS)
    assert (result["verdict"], check["verdict"]) == ("failed", "failed")
    assert check["measured"]["differing_rows"] == own.size
    assert {item["row"] for item in check["evidence"]} <= set(own.tolist())


def test_every_row_of_a_repeated_image_is_compared(tiny: Tiny) -> None:
    """It is computed once; a wrong repeat fails at its own row."""
    tiny.outputs.home.write_split("val", [*SPLIT.tolist(), *SPLIT[:5].tolist()])
    logits = np.concatenate([tiny.logits(), tiny.logits()[:5]])
    logits[52] += 1
    labels = np.concatenate([SPLIT, SPLIT[:5]]) % 3
    tiny.outputs.write("ce", "val", logits=logits, targets=labels, predictions=logits.argmax(axis=1))
    _, check = tiny.check(1000)
    assert check["measured"]["rows"] == 55
    assert [item["row"] for item in check["evidence"]] == [52]


def test_the_experts_own_declaration_is_computed_with(tiny: Tiny) -> None:
    """Its mean and std, and not the data set's."""
    mean, std = (0.1, 0.2, 0.3), (0.3, 0.3, 0.3)
    tiny.outputs.home.declare(f"{DIGITS}\n[digits.overrides.best_ce]\nmean = {list(mean)}\nstd = {list(std)}\n")
    tiny.write(tiny.logits(Transform(mean=mean, std=std)))
    assert tiny.check()[1]["verdict"] == "passed"
    tiny.write(tiny.logits(Transform(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))))
    assert tiny.check()[1]["verdict"] == "failed"


def test_a_manifest_names_the_checkpoint(tiny: Tiny) -> None:
    """Whatever it is called, and whatever the request's prefix finds."""
    (tiny.experts / "best_ce.pth").rename(tiny.experts / "other.pth")
    path = tiny.write(tiny.logits())
    digest = sha256((tiny.experts / "other.pth").read_bytes()).hexdigest()
    weights = {"folder": "experts/digits", "file": "other.pth", "sha256": digest}
    (tiny.experts / "best_ce.pth").write_bytes(b"of another expert")
    _manifest(tiny, path, checkpoint=weights)
    _, check = tiny.check()
    assert (check["verdict"], check["measured"]["checkpoint"]) == ("passed", "other.pth")


def test_a_checkpoint_of_the_manifests_content_is_found_by_name(tiny: Tiny) -> None:
    """Where the named file is gone, one of the same bytes under the prefix is as good."""
    path = tiny.write(tiny.logits())
    _manifest(tiny, path)
    (tiny.experts / "best_ce.pth").rename(tiny.experts / "final_ce.pth")
    _, check = tiny.check(checkpoint_prefix="final_")
    assert (check["verdict"], check["measured"]["checkpoint"]) == ("passed", "final_ce.pth")


def test_prefix_and_folder_of_the_request_name_the_checkpoint(tiny: Tiny) -> None:
    """For files without a manifest, as in a request to recompute."""
    folder = tiny.outputs.home.settings.checkpoints_dir / "elsewhere"
    folder.mkdir()
    (tiny.experts / "best_ce.pth").rename(folder / "ce.pth")
    tiny.write(tiny.logits())
    assert tiny.check()[1]["verdict"] == "skipped"
    _, check = tiny.check(checkpoint_prefix="", experts_dir="elsewhere")
    assert (check["verdict"], check["measured"]["checkpoint"]) == ("passed", "ce.pth")


def _other_checkpoint(tiny: Tiny, path: Path) -> None:
    _manifest(tiny, path)
    torch.manual_seed(1)
    torch.save(SPEC.build().state_dict(), tiny.experts / "best_ce.pth")


def _other_classes(tiny: Tiny, path: Path) -> None:
    torch.save(CifarResNetSpec((1, 1, 1), (4, 8, 8), 4).build().state_dict(), tiny.experts / "best_ce.pth")


def _infinite(tiny: Tiny, path: Path) -> None:
    tensors = tiny.network.state_dict() | {"fc.weight": torch.full((3, 8), 3e38)}
    torch.save(tensors, tiny.experts / "best_ce.pth")


def _remove_folder(tiny: Tiny, path: Path) -> None:
    tiny.experts.rename(tiny.experts.with_name("gone"))


CANNOT: list[tuple[Callable[[Tiny, Path], object], str]] = [
    (lambda tiny, _: (tiny.experts / "best_ce.pth").unlink(), "no expert 'ce'"),
    (lambda tiny, _: (tiny.experts / "best_ce.pth").write_bytes(b"weights"), "best_ce.pth"),
    (lambda tiny, _: (tiny.experts / "best_ce.pt").write_bytes(b"x"), "are both 'best_ce'"),
    (_remove_folder, "experts/digits is not there"),
    (_other_checkpoint, "The checkpoint of the manifest"),
    (_other_classes, "4 outputs"),
    (_infinite, "NaN or infinity"),
]


@pytest.mark.parametrize(("spoil", "said"), CANNOT)
def test_what_cannot_be_computed_is_skipped_with_the_reason(
    tiny: Tiny, spoil: Callable[[Tiny, Path], object], said: str
) -> None:
    """No checkpoint, or one that does not fit: no failure of the file, but its origin stays unknown."""
    path = tiny.write(tiny.logits())
    spoil(tiny, path)
    result, check = tiny.check()
    assert (check["verdict"], check["level"]) == ("skipped", "error")
    assert check["message"].startswith("No row could be recomputed. ")
    assert said in check["message"]
    assert "recomputed-sample" not in failed_checks(result)


def test_a_manifest_of_the_file_tells_its_origin(tiny: Tiny) -> None:
    """One of another file does not."""
    path = tiny.write(tiny.logits())
    _manifest(tiny, path)
    assert _provenance(tiny, 0)["verdict"] == "passed"
    _manifest(tiny, path, file={"sha256": "0" * 64})
    assert _provenance(tiny, 0)["verdict"] == "skipped"


@pytest.mark.parametrize("logits", [np.zeros((ROWS, 4), np.float32), np.zeros((3, 3), np.float32), np.array("x")])
def test_a_file_of_another_shape_has_no_rows_to_compare(tiny: Tiny, logits: NDArray[Any]) -> None:
    """Another check says what is wrong with it; this one is skipped."""
    tiny.outputs.write("ce", "val", logits=logits, targets=SPLIT % 3, predictions=SPLIT % 3)
    result, check = tiny.check()
    assert check["verdict"] == "skipped"
    assert result["verdict"] == "failed"


def test_images_that_are_damaged_are_skipped(tiny: Tiny) -> None:
    """The labels can be read, so the file is verified; only the sample is not to be had."""
    tiny.write(tiny.logits())
    base = tiny.outputs.home.data / "digits" / "test.npz"
    content = bytearray(base.read_bytes())
    content[2000] ^= 0xFF  # a pixel
    base.write_bytes(content)
    result, check = tiny.check()
    assert check["verdict"] == "skipped"
    assert check["message"].startswith("No row could be recomputed. ")
    assert "test.npz" in check["message"]
    assert result["metrics"]["accuracy"] is not None


def test_work_stops_between_two_batches(tiny: Tiny) -> None:
    """A worker that is told to stop computes no further batch, and nothing is recorded."""
    tiny.write(tiny.logits())
    context = tiny.outputs.context
    job = context.jobs.submit(tiny.request(ROWS))
    looks = 0

    def stopping() -> bool:
        nonlocal looks
        looks += 1
        return looks == 3  # one look before the file, one before each batch

    with pytest.raises(Stopped):
        check_files(take(context.jobs), replace(context, stopping=stopping))
    assert looks == 3
    assert context.jobs.get(job.id).verification is None


def test_differently_made_splits_of_an_expert_fail_the_whole(tiny: Tiny) -> None:
    """Each file by itself passes; their manifests do not go together."""
    split = tiny.outputs.home.data / "digits_splits"
    for name, precision in (("val", "fp32"), ("test", "bf16")):
        indices = json.loads((split / f"{name}_indices.json").read_text())
        labels = np.array(indices) % 3
        logits = np.random.default_rng(1).random((labels.size, 3), dtype=np.float32)
        logits[np.arange(labels.size), labels] += 2
        path = tiny.outputs.write("ce", name, logits=logits, targets=labels, predictions=labels)
        named = {"name": name, "sha256": sha256((split / f"{name}_indices.json").read_bytes()).hexdigest()}
        _manifest(tiny, path, split=named, compute={"precision": precision})
    found, results = tiny.outputs.check()
    assert {result["verdict"] for result in results.values()} == {"passed"}
    assert found["verdict"] == "failed"
    [check] = [check for check in found["checks"] if check["id"] == "manifest-transform"]
    assert check["measured"]["differing"] == {
        "precision": [{"value": "bf16", "splits": ["test"]}, {"value": "fp32", "splits": ["val"]}]
    }
    assert sentence({"checks": found["checks"]}, "provenance").startswith("Each file has the manifest")
