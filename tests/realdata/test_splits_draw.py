"""The balanced test parts, drawn from CIFAR-100's own labels."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from app.catalog.bases import Bases
from app.catalog.catalog import Catalog
from app.catalog.labels import read_labels
from app.catalog.split_draw import part_balanced
from app.settings import Settings
from tests.realdata.location import REALDATA, needs_realdata

pytestmark = needs_realdata

DATASETS = """
[cifar100]
kind = "cifar100"
root = "."
splits = "none"
experts = "none"
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]
"""


def test_the_parts_of_the_real_test_set_have_the_old_scripts_ranks(tmp_path: Path) -> None:
    """80, 10 and 10 of each class; the ranks of their indices within their class are the reference's."""
    (tmp_path / "datasets.toml").write_text(DATASETS)
    (tmp_path / "cifar-100-python").symlink_to((REALDATA / "cifar-100-python").resolve())
    dataset = Catalog(Settings(data_dir=tmp_path, _env_file=None)).dataset("cifar100")
    labels = read_labels(Bases(tmp_path), dataset, "test")
    parts = part_balanced(labels, 100, (8, 1, 1), 42)
    assert [part.size for part in parts] == [8000, 1000, 1000]
    assert sorted(np.concatenate(parts).tolist()) == list(range(10_000))
    ranks = []
    for c in range(100):
        members = np.flatnonzero(labels == c)
        drawn = np.concatenate([part[labels[part] == c] for part in parts])
        ranks.append(np.searchsorted(members, drawn).tolist())
    assert ranks[0][:5] == [83, 53, 70, 45, 44]
    digest = hashlib.sha256(json.dumps(ranks, separators=(",", ":")).encode()).hexdigest()
    assert digest == "d7c8fbab385b12642fb0df4948e8614018ab5e35e542303ff13c2874ccf3f382"
