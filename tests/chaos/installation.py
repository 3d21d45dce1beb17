"""What chaos is made on: one data set, many tiny experts in groups of three, splits that share rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tests.integration.workspace import DATASETS, Workspace

IMAGES, TRAIN_IMAGES = 2200, 800
"""Of the bases: rows enough for several chunks an expert, and files that are sent in more than one piece."""
EXPERTS = ("alpha", "beta", "gamma")
SIZES = {"val": 700, "test": 1300, "tunev": 500, "again": 1000, "large": 2200}


@dataclass(frozen=True)
class Installation:
    """A workspace, and how many groups of experts it has."""

    workspace: Workspace
    groups: int

    @property
    def given(self) -> Path:
        """Files to be verified that lie in the server's outputs."""
        return self.workspace.root / "outputs" / "given"

    @property
    def sent(self) -> Path:
        """Files to be verified that lie elsewhere, so that they are uploaded."""
        return self.workspace.root / "sent"


def prefix(group: int) -> str:
    """Of the checkpoints of a group. Each group's rows are computed once, so there is always something to compute."""
    return f"g{group:03d}_"


def build(root: Path, groups: int) -> Installation:
    """Make it below an empty folder."""
    workspace = Workspace(root)
    workspace.save_images("test", IMAGES)
    workspace.save_images("train", TRAIN_IMAGES)
    (root / "data" / "datasets.toml").write_text(DATASETS)
    lots = np.random.default_rng(0)
    for name, size in SIZES.items():
        workspace.save_split(name, lots.permutation(IMAGES)[:size].tolist())
    workspace.save_split("train", lots.permutation(TRAIN_IMAGES)[:400].tolist())
    for number, expert in enumerate(EXPERTS):
        workspace.save_expert(expert, seed=number + 1)
        trained = torch.load(workspace.experts / f"{expert}.pth", weights_only=True)
        for group in range(groups):
            # A little apart from each other: other rows, of an expert that knows as much.
            scaled = {**trained, "fc.weight": trained["fc.weight"] * (1 + group / 1000)}
            torch.save(scaled, workspace.experts / f"{prefix(group)}{expert}.pth")
    return Installation(workspace, groups)
