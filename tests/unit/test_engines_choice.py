"""Which engine a worker takes, and what it can compute in."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
import torch

from tests.fakes import refused
from worker.compute.engines.choice import choose_engine, engine_version, precisions

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("wanted", "device", "engine"),
    [
        ("auto", CUDA, "torch"),
        ("torch", CUDA, "torch"),
        ("torch", CPU, "torch"),
        ("auto", CPU, "openvino"),
        ("openvino", CPU, "openvino"),
    ],
)
def test_the_fastest_engine_that_is_there_is_chosen(
    wanted: Literal["auto", "torch", "openvino"], device: torch.device, engine: str
) -> None:
    """OpenVINO on CPUs, PyTorch on GPUs, and what was asked for where it is possible."""
    if engine == "openvino":
        pytest.importorskip("openvino", reason="OpenVINO is an extra that is not installed")
    assert choose_engine(wanted, device) == engine


def test_openvino_on_a_gpu_is_refused() -> None:
    """It says what would have been right."""
    with refused("no-such-engine", "cuda:0", "RELOGIT_ENGINE=auto", "RELOGIT_DEVICE=cpu"):
        choose_engine("openvino", CUDA)


def test_without_openvino_pytorch_computes() -> None:
    """A worker starts, chooses and computes without it; asked for by name it is refused, with the way to get it."""
    code = """
import sys
sys.modules["openvino"] = None  # what is not installed cannot be imported
import torch
from app.domain.errors import FatalError
from tests.unit.engines import SMALL, engine, lived_in, logits_of, random_images
from worker.compute.engines.choice import choose_engine
chosen = choose_engine("auto", torch.device("cpu"))
print(chosen, logits_of(engine(chosen, lived_in(SMALL)), random_images(16)).shape)
try:
    choose_engine("openvino", torch.device("cpu"))
except FatalError as error:
    print(error.code, error.message)
"""
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    chosen, refusal = ran.stdout.splitlines()
    assert chosen == "torch (16, 7)"
    assert refusal.startswith("no-such-engine")
    assert "pip install 'relogit[openvino]'" in refusal


def test_a_broken_openvino_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By itself a worker goes on with PyTorch and logs why; asked for by name it refuses."""
    (tmp_path / "openvino.py").write_text("raise ImportError('libtbb.so.12: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    with caplog.at_level(logging.WARNING):
        assert choose_engine("auto", CPU) == "torch"
    assert "libtbb.so.12" in caplog.text
    with refused("no-such-engine", "libtbb.so.12", "RELOGIT_ENGINE=auto"):
        choose_engine("openvino", CPU)


def test_every_engine_offers_fp32_first_and_tf32_only_on_a_gpu() -> None:
    """On a CPU: float32, and what its instructions are for."""
    for name in ("torch", "openvino"):
        if name == "openvino":
            pytest.importorskip("openvino", reason="OpenVINO is an extra that is not installed")
        offered = precisions(name, CPU)
        assert offered[0] == "fp32"
        assert set(offered[1:]) <= {"bf16", "fp16"}


def test_the_engines_version_is_its_librarys() -> None:
    """Rows are kept under it, so it has to be the version whose kernels run."""
    assert engine_version("torch") == torch.__version__
    openvino = pytest.importorskip("openvino", reason="OpenVINO is an extra that is not installed")
    assert openvino.__version__.startswith(engine_version("openvino"))
