"""OpenVINO: each operation as PyTorch does it, the precision that was asked for, and memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from app.domain.errors import JobError
from app.domain.requests import Precision
from tests.unit.engines import SMALL, engine, lived_in, logits_of, random_images
from worker.compute.engines.engine import NoMemory
from worker.compute.engines.folding import fold
from worker.compute.engines.openvino_engine import (
    OpenvinoEngine,
    capabilities,
    check_precision,
    compile_model,
    layer_precisions,
)
from worker.compute.engines.openvino_model import build_model
from worker.compute.engines.overflow import leaky

openvino = pytest.importorskip("openvino", reason="OpenVINO is an extra that is not installed")
IMAGE = (12, 12, 3)


class _After(nn.Module):
    """A convolution, something, and the mean of each channel."""

    def __init__(self, something: Callable[[Tensor], Tensor] | nn.Module) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.something = something

    def forward(self, images: Tensor) -> Tensor:
        return torch.flatten(F.adaptive_avg_pool2d(self.something(self.first(images)), 1), 1)


@pytest.mark.parametrize(
    "something",
    [
        nn.Conv2d(6, 9, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 2)),
        nn.Conv2d(6, 12, 3, groups=3, bias=False),
        nn.Conv2d(6, 6, 3, groups=6),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.MaxPool2d((2, 3), dilation=2),
        nn.ReLU(inplace=True),
        nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d((1, 1))),
        lambda x: F.relu(x) + x,
        lambda x: F.pad(x, (1, 2, 3, 4, 5, 6)),
        lambda x: F.pad(x[:, ::2, ::3, :], (1, 0)),
    ],
)
def test_an_operation_is_pytorchs(something: nn.Module) -> None:
    """Kernels, strides, padding, dilation, groups, slices: each operation gives what PyTorch gives."""
    torch.manual_seed(0)
    network = _After(something).eval()
    images = torch.randn(2, 3, *IMAGE[:2])
    compiled = compile_model(build_model(leaky(fold(network)), 2, IMAGE), "fp32", 1)
    [found] = compiled(images.permute(0, 2, 3, 1).numpy()).values()
    np.testing.assert_allclose(found, network(images).detach().numpy(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("something", "name"),
    [
        (nn.Sigmoid(), "Sigmoid"),
        (nn.Sequential(nn.ReLU(), nn.BatchNorm2d(6)), "BatchNorm2d"),
        (nn.Conv2d(6, 6, 3, padding=1, padding_mode="reflect"), "reflect"),
        (nn.Conv2d(6, 6, 3, padding="same"), "same"),
        (nn.MaxPool2d(2, ceil_mode=True), "ceil_mode"),
        (nn.AdaptiveAvgPool2d(2), "AdaptiveAvgPool2d"),
        (torch.sigmoid, "sigmoid"),
        (lambda x: x.sigmoid(), "sigmoid"),
        (lambda x: F.pad(x, (1, 1), mode="reflect"), "reflect"),
        (lambda x: F.pad(x, (1, 1), value=1.0), "pad"),
        (lambda x: F.adaptive_avg_pool2d(x, 2), "adaptive_avg_pool2d"),
        (lambda x: torch.flatten(x, 2), "flatten"),
        (lambda x: x[:, 1:], "getitem"),
        (lambda x: x[:, :, 2:, :], "getitem"),
        (lambda x: x[:, :, :2, :], "getitem"),
        (lambda x: x + 1 * x, "mul"),
    ],
)
def test_an_operation_that_is_not_known_is_named(something: nn.Module, name: str) -> None:
    """Nothing is guessed: what the engine does not know in all its options is refused by name."""
    with pytest.raises(JobError, match=name) as caught:
        build_model(leaky(fold(_After(something).eval())), 2, IMAGE)
    assert caught.value.code == "operation-unknown"
    assert "RELOGIT_ENGINE=torch" in caught.value.message


def _precisions() -> list[Precision]:
    known = capabilities()
    return [name for name, said in (("bf16", "BF16"), ("fp16", "FP16")) if said in known]  # type: ignore[misc]


def test_fp32_has_no_narrower_layer() -> None:
    """Every layer that computes does so in float32, also where OpenVINO would take bf16 by itself."""
    made = engine("openvino", lived_in(SMALL))
    assert isinstance(made, OpenvinoEngine)
    kinds = layer_precisions(made.compiled)
    assert kinds["Convolution", "f32"] > 5
    assert {precision for _, precision in kinds} <= {"f32", "i32", "i64"}


@pytest.mark.parametrize("precision", _precisions())
def test_what_was_compiled_in_another_precision_is_refused(precision: Precision) -> None:
    """OpenVINO's own default on such a CPU is narrow: if it ever overrode what was asked for, that would show."""
    model = build_model(leaky(fold(lived_in(SMALL))), 8, IMAGE)
    by_default = openvino.Core().compile_model(model, "CPU")
    with pytest.raises(JobError, match="Convolution in") as caught:
        check_precision(by_default, "fp32")
    assert caught.value.code == "precision-not-kept"
    with pytest.raises(JobError, match="Convolution in f32"):
        check_precision(compile_model(model, "fp32", 1), precision)


@pytest.mark.parametrize("precision", _precisions())
def test_a_narrow_precision_computes_narrowly(precision: Precision) -> None:
    """Its convolutions run in it, and logits differ from float32's, but by little."""
    network, images = lived_in(SMALL), random_images(64)
    exact = logits_of(engine("openvino", network), images)
    made = engine("openvino", network, precision=precision)
    assert isinstance(made, OpenvinoEngine)
    kinds = layer_precisions(made.compiled)
    assert {found for kind, found in kinds if kind == "Convolution"} == {{"bf16": "bf16", "fp16": "f16"}[precision]}
    difference = np.abs(logits_of(made, images) - exact).max()
    assert 1e-3 < difference < 0.02 * np.abs(exact).max()


def test_a_batch_that_does_not_fit_is_said_so() -> None:
    """OpenVINO takes its memory when it compiles, and what it says when there is too little becomes NoMemory."""
    with pytest.raises(NoMemory):
        engine("openvino", lived_in(SMALL), batch=2**40)
