"""Overrides are for checkpoint files: a file gets the same answer under whatever name it is asked for."""

from __future__ import annotations

from pathlib import Path

from app.catalog.datasets import Dataset, read_datasets
from tests.fakes import refused

OWN = "mean = [0.1, 0.2, 0.3]\nstd = [1.0, 2.0, 3.0]\n"


def declared(tmp_path: Path, *tables: str) -> Dataset:
    head = '[d]\nkind = "npz"\nroot = "d"\nsplits = "s"\nexperts = "e"\nmean = [0, 0, 0]\nstd = [1, 1, 1]\n'
    (tmp_path / "datasets.toml").write_text(head + "".join(f"[d.overrides.{table}\n{OWN}" for table in tables))
    return read_datasets(tmp_path)["d"]


def own(dataset: Dataset, stem: str) -> bool:
    return dataset.transform(stem).mean == (0.1, 0.2, 0.3)


def test_a_name_is_for_that_file_alone(tmp_path: Path) -> None:
    """Not for names that contain it, nor for those that it contains."""
    dataset = declared(tmp_path, "best_ce]")
    stems = ("best_ce", "ce", "best_ce2", "old_best_ce")
    assert [own(dataset, stem) for stem in stems] == [True, False, False, False]


def test_a_pattern_is_for_every_file_that_it_matches(tmp_path: Path) -> None:
    """`*` stands for any characters, none too, and upper case is another letter."""
    dataset = declared(tmp_path, '"*ce"]')
    stems = ("ce", "best_ce", "final_calibrated_ce", "best_CE", "best_ce_old")
    assert [own(dataset, stem) for stem in stems] == [True, True, True, False, False]


def test_a_full_name_adds_to_a_pattern(tmp_path: Path) -> None:
    """It comes first field by field: declaring a network for one file does not take its mean and std away."""
    text = "\n[d.overrides.best_ce]\nmax_pool = true\n[d.overrides.old_ce]\nmean = [9, 9, 9]\nstd = [9, 9, 9]\n"
    declared(tmp_path, '"*ce"]')
    path = tmp_path / "datasets.toml"
    path.write_text(path.read_text() + text)
    dataset = read_datasets(tmp_path)["d"]
    assert own(dataset, "best_ce")
    assert dataset.override("best_ce").max_pool is True
    assert dataset.override("final_ce").max_pool is None
    assert dataset.transform("old_ce").mean == (9.0, 9.0, 9.0)


def test_brackets_stand_for_themselves(tmp_path: Path) -> None:
    """Only `*` and `?` stand for other characters."""
    dataset = declared(tmp_path, '"a[1]"]')
    assert own(dataset, "a[1]")
    assert not own(dataset, "a1")
    assert dataset.unused_overrides(["a1"]) == ["a[1]"]


def test_two_patterns_for_one_file_are_refused(tmp_path: Path) -> None:
    """Nothing says which is meant, so neither is taken; a file of one of them is fine."""
    dataset = declared(tmp_path, '"best_*"]', '"*_ce"]')
    assert own(dataset, "best_bal")
    with refused("override-ambiguous", "Let one"):
        dataset.transform("best_ce")


def test_an_experts_name_without_its_prefix_is_refused(tmp_path: Path) -> None:
    """Overrides used to be named so: such an entry is neither taken for one prefix only nor left out in silence."""
    dataset = declared(tmp_path, "ce]")
    with refused("override-unmatched", "'best_ce'", "'*ce'"):
        dataset.check_override("best_ce", "ce")
    dataset.check_override("ce", "ce")
    dataset.check_override("best_ce", "best_ce")
    both = declared(tmp_path, "ce]", "best_ce]")  # two files, each with an entry of its own
    both.check_override("best_ce", "ce")


def test_overrides_that_match_no_file_are_listed(tmp_path: Path) -> None:
    """Names and patterns alike."""
    dataset = declared(tmp_path, "best_ce]", "best_cee]", '"final_*"]', '"*_bal"]')
    assert dataset.unused_overrides(["best_ce", "best_bal"]) == ["best_cee", "final_*"]
