"""What a data set declares of its networks, from datasets.toml to the rows of a job."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import relogit
from tests.integration.workspace import SPEC, TRANSFORM, Workspace, build, running
from worker.compute.engines.pixels import normalise
from worker.experts.architectures import CifarResNetSpec

DECLARED = """
[tiny.network]
batch_norm_eps = 0.5
stage_strides = [1, 2, 2]
max_pool = true
"""
"""An epsilon that changes every row, strides as usual, and a key for other networks, which is left out."""


def test_a_declared_network_is_the_one_that_computes(tmp_path: Path) -> None:
    """Rows, passport and manifest are of the declared epsilon; before it was declared they were of the usual one."""
    workspace = build(tmp_path)
    toml = workspace.root / "data" / "datasets.toml"
    with running(workspace) as service, relogit.Client(service.url) as client:
        usual = _rows(client, workspace, "as_usual")
        assert _assumed(client) == {"stage_strides": "assumed", "batch_norm_eps": "assumed"}
        toml.write_text(toml.read_text() + DECLARED)
        declared = _rows(client, workspace, "as_declared")
        assert _assumed(client) == {"stage_strides": "declared", "batch_norm_eps": "declared"}
    np.testing.assert_allclose(usual, _plain(workspace, SPEC), atol=1e-4)
    np.testing.assert_allclose(declared, _plain(workspace, replace(SPEC, batch_norm_eps=0.5)), atol=1e-4)
    assert np.abs(usual - declared).max() > 0.1
    written = (workspace.root / "outputs" / "as_declared" / "alpha" / "val_logits.json").read_text()
    assert json.loads(written)["checkpoint"]["network"]["batch_norm_eps"] == 0.5


def _rows(client: relogit.Client, workspace: Workspace, output: str) -> NDArray[np.float32]:
    job = client.submit(dataset="tiny", experts=["alpha"], splits=["val"], output_dir=output)
    job.wait(timeout=60)
    with np.load(workspace.root / "outputs" / output / "alpha" / "val_logits.npz") as arrays:
        logits: NDArray[np.float32] = arrays["logits"]
    return logits


def _assumed(client: relogit.Client) -> dict[str, str]:
    passport = client.expert("alpha", dataset="tiny")["passport"]
    return {item["override"]: item["basis"] for item in passport["assumed"]}


def _plain(workspace: Workspace, spec: CifarResNetSpec) -> NDArray[np.float32]:
    """The rows of the split by nothing of the worker but its network class."""
    network = spec.build()
    saved = torch.load(workspace.experts / "best_alpha.pth", weights_only=True)
    network.load_state_dict({k.removeprefix("backbone."): v for k, v in saved.items() if k != "temperature"})
    images, _ = workspace.images("test")
    indices = json.loads((workspace.splits / "val_indices.json").read_text())
    with torch.inference_mode():
        pixels = normalise(torch.from_numpy(images[indices]), TRANSFORM).contiguous()
        logits: NDArray[np.float32] = network.eval()(pixels).numpy()
    return logits
