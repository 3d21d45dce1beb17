"""What can be wrong about a benchmark without showing: its statistics, its tables, and what it compares with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.bare import bare_loop
from benchmarks.installation import CLASSES, EXPERTS, RESNET32, SHARES, TINY, TRANSFORM, Installation, draw_splits
from benchmarks.machine import Machine
from benchmarks.macs import count_macs
from benchmarks.old_script import old_script
from benchmarks.outcome import Outcome
from benchmarks.report import Column, Report, Table, Target, as_json, as_markdown, percentile, speed_ratio, write_into
from benchmarks.synthetic_logits import FOLDER, Sizes, make_installation
from worker.compute.engines.engine import Setup
from worker.compute.engines.torch_engine import TorchEngine
from worker.compute.inference import forward_rows
from worker.experts.loading import load_expert

MACHINE = Machine(
    date="2026-01-02 03:04 UTC",
    commit="abc1234",
    processor="A processor",
    cores=2,
    caps="no caps",
    memory_gib=8.0,
    system="An OS",
    versions={"torch": "2.13.0", "openvino": "not installed"},
    load=(0.5, 0.25, 0.125),
)
TABLE = Table(
    "Three ways",
    (Column("way"), Column("total, s", ".2f"), Column("rows", ",d")),
    (("the old one", 12.345, 30000), ("another", "not installed", None)),
)
REACHED = Target("speed", 0.9, 0.9, at_least=True, form=".2f")
MISSED = Target("p99", 30.0, 30.0, at_least=False, form=".1f", unit=" ms")
REPORT = Report("recompute", (TABLE,), (REACHED, MISSED), ("A sentence.",))


@pytest.mark.parametrize(("percent", "expected"), [(50, 3.0), (60, 3.0), (61, 4.0), (99, 5.0), (100, 5.0), (1, 1.0)])
def test_percentile(percent: float, expected: float) -> None:
    """A percentile is the smallest measured value that no less than that share of the values stay within."""
    assert percentile([5.0, 1.0, 4.0, 2.0, 3.0], percent) == expected


def test_p99_of_many() -> None:
    """The 99th percentile of 400 values leaves exactly four of them above it."""
    assert percentile([float(value) for value in range(400)], 99) == 395.0


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], 0), ([1.0], 101)])
def test_no_percentile(values: list[float], percent: float) -> None:
    """What has no percentile gets no number made up for it."""
    with pytest.raises(ValueError, match="There is no"):
        percentile(values, percent)


def test_ratios_within_rounds() -> None:
    """A round on a slow machine is compared with itself, and the median of the rounds' ratios counts."""
    assert speed_ratio([10.0, 300.0, 14.0], [5.0, 100.0, 7.0]) == 2.0


def test_rounds_go_together() -> None:
    """Ratios between different numbers of rounds are refused."""
    with pytest.raises(ValueError, match="zip"):
        speed_ratio([1.0, 2.0], [1.0])


def test_targets() -> None:
    """A lower bound is reached at its own value, an upper one only below it, and neither without a measurement."""
    unmeasured = Target("speed", None, 0.9, at_least=True, form=".2f")
    assert (REACHED.reached, MISSED.reached, unmeasured.reached) == (True, False, False)
    assert REACHED.texts() == ["speed", "at least 0.90", "0.90", "PASS"]
    assert MISSED.texts() == ["p99", "under 30.0 ms", "30.0 ms", "MISS"]
    assert unmeasured.texts()[2:] == ["not measured", "MISS"]


def test_markdown() -> None:
    """A table shows numbers as its columns say, texts as they are and nothing for what was not measured."""
    lines = as_markdown(REPORT, MACHINE).splitlines()
    assert "| way | total, s | rows |" in lines
    assert "| the old one | 12.35 | 30,000 |" in lines
    assert "| another | not installed |  |" in lines
    assert "| p99 | under 30.0 ms | 30.0 ms | MISS |" in lines
    assert "A sentence." in lines
    assert any("A processor" in line and "2 cores (no caps)" in line for line in lines)


def test_json_keeps_all_digits() -> None:
    """The JSON has the numbers as they were measured, and says which targets are reached."""
    (report,) = as_json([REPORT], MACHINE)["reports"]
    assert report["tables"][0]["rows"][0][1] == 12.345
    assert [target["reached"] for target in report["targets"]] == [True, False]


def test_written_into_its_place(tmp_path: Path) -> None:
    """A report replaces what stood in its own place of a document, and nothing else of it."""
    document = tmp_path / "performance.md"
    above, below = "Before\n<!-- reuse: begin -->\nkept\n<!-- reuse: end -->\n", "After\n"
    document.write_text(f"{above}<!-- recompute: begin -->\nold\n<!-- recompute: end -->\n{below}")
    for _ in range(2):
        write_into(document, REPORT, MACHINE)
        text = document.read_text()
        assert text.startswith(f"{above}<!-- recompute: begin -->\n")
        assert text.endswith(f"A sentence.\n<!-- recompute: end -->\n{below}")
        assert "\nold\n" not in text
        assert text.count("| the old one |") == 1


@pytest.mark.parametrize("text", ["Nothing.\n", "<!-- recompute: begin -->\nThe end is lacking.\n"])
def test_no_place(tmp_path: Path, text: str) -> None:
    """A document without a place for the report is refused and left as it is."""
    document = tmp_path / "performance.md"
    document.write_text(text)
    with pytest.raises(ValueError, match="no place for recompute"):
        write_into(document, REPORT, MACHINE)
    assert document.read_text() == text


def test_macs() -> None:
    """A ResNet-32 of 100 classes with projection shortcuts takes 69.13 million multiply-adds for a 32x32 image."""
    # Stem, then for each stage its convolutions (five blocks of two) and the 1x1 projections, then the head.
    stem = 32 * 32 * 9 * 3 * 16
    first = 32 * 32 * 10 * 9 * 16 * 16
    second = 16 * 16 * (9 * 16 * 32 + 9 * 9 * 32 * 32 + 16 * 32)
    third = 8 * 8 * (9 * 32 * 64 + 9 * 9 * 64 * 64 + 32 * 64)
    assert count_macs(RESNET32.spec.build().eval(), 32) == stem + first + second + third + 64 * 100 == 69_130_496


def test_drawn_splits() -> None:
    """Drawn splits have the asked lengths, repeat nothing within themselves, are shuffled and not all the same."""
    first, second = draw_splits(50, [50, 20], seed=1)
    assert (len(first), len(second)) == (50, 20)
    assert len(set(first)) == 50
    assert len(set(second)) == 20
    assert list(first) != sorted(first)
    assert list(draw_splits(50, [50], seed=2)[0]) != list(first)


def test_first_and_rest() -> None:
    """A loop goes over every batch once, and its warm time counts the rest's for as many images as there are."""
    outcome = Outcome()
    first, rest = ([*starts] for starts in outcome.batches(1000, 64))
    assert [*first, *rest] == [*range(0, 1000, 64)]
    assert first == [0]  # of 100 images that come first one batch is whole
    outcome.seconds.update(prepare=5.0, first=3.0, rest=9.36)
    assert outcome.warm_loop_s == pytest.approx(10.0)
    assert (outcome.loop_s, outcome.total_s) == pytest.approx((12.36, 17.36))


def test_ways_agree(tmp_path: Path) -> None:
    """The old script's way and the bare loop give the product's own rows, so that their times can be compared."""
    installation = Installation.make(tmp_path, TINY, 70)  # a batch and a short one
    old, bare, product = (
        old_script(installation, loaders=0),
        bare_loop("torch", installation),
        _product_rows(installation),
    )
    assert sorted(np.concatenate([installation.split(split) for split in SHARES])) == list(range(70))
    assert np.ptp(product, axis=1).min() > 0.01  # a row in another's place would show,
    assert not np.allclose(product[0], product[1], atol=1e-2)  # and so would an expert
    for logits in (np.stack(old.logits), np.stack(bare.logits)):
        np.testing.assert_allclose(logits, product, atol=1e-3, rtol=1e-5)
    test = installation.split("test")
    for number, name in enumerate(EXPERTS):
        with np.load(tmp_path / "old" / name / "test_logits.npz") as saved:
            assert (saved["logits"] == old.logits[number][test]).all()
            assert (saved["targets"] == installation.pool()[1][test]).all()


def _product_rows(installation: Installation) -> NDArray[np.float32]:
    """[E, N, C] float32, as relogit's worker computes them."""
    images, labels = installation.pool()
    setup = Setup(TRANSFORM, (TINY.size, TINY.size, 3), 64, "fp32", torch.device("cpu"), 1)
    rows = np.empty((len(EXPERTS), labels.size, CLASSES), np.float32)
    for number, path in enumerate(installation.expert_files()):
        engine = TorchEngine(load_expert(path).network, setup)
        for indices, logits in forward_rows(engine, images, np.arange(labels.size), CLASSES):
            rows[number, indices] = logits
    return rows


def test_made_up_logits(tmp_path: Path) -> None:
    """Made-up logits have the rows, targets and argmax of their lists; the lists share no row."""
    sizes = Sizes({"tunev": 20, "val": 20, "test": 40}, 10)
    installation = make_installation(tmp_path, sizes)
    labels = installation.pool()[1]
    assert sorted(np.concatenate([installation.split(split) for split in sizes.rows])) == list(range(80))
    written = 0
    for split, rows in sizes.rows.items():
        for name in EXPERTS:
            with np.load(tmp_path / "outputs" / FOLDER / name / f"{split}_logits.npz") as arrays:
                assert (arrays["logits"].dtype, arrays["logits"].shape) == (np.float32, (rows, 10))
                assert (arrays["targets"] == labels[installation.split(split)]).all()
                assert (arrays["predictions"] == arrays["logits"].argmax(axis=1)).all()
                written += arrays["logits"].nbytes
    assert written == sizes.logit_bytes
