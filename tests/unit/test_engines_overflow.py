"""What overflows inside a network reaches its logits in every engine, wherever it happens."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.domain.errors import JobError
from app.domain.requests import Precision
from tests.unit.engines import BATCHES, SPECS, TRANSFORM, engine, lived_in, logits_of, random_images
from worker.compute.engines.choice import EngineName
from worker.compute.engines.folding import fold
from worker.compute.engines.overflow import expose_overflow, largest_output
from worker.compute.engines.pixels import normalise
from worker.compute.inference import forward_rows

both = pytest.mark.parametrize("name", ["torch", "openvino"])
LARGEST = float(torch.finfo(torch.float32).max)


def norms_of(network: nn.Module) -> list[str]:
    return [name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)]


def overflowing(network: nn.Module, norm: str, sign: int, largest: float = LARGEST) -> nn.Module:
    """A copy whose channels leave the range of a dtype in one direction after one batch norm."""
    changed = copy.deepcopy(network)
    with torch.no_grad():
        changed.get_submodule(norm).get_parameter("bias")[:] = sign * largest
        changed.get_submodule(norm).get_parameter("weight")[:] = largest / 100
        changed.get_submodule(norm).get_buffer("running_mean")[:] = 0.0
    return changed


def inputs_of(network: nn.Module, images: NDArray[np.uint8]) -> dict[str, Tensor]:
    """By batch norm, its input in float64 [N, channels, H, W], divided by the deviation."""
    inputs: dict[str, Tensor] = {}
    hooks = []
    for name in norms_of(network):
        module = network.get_submodule(name)
        deviation = (module.get_buffer("running_var").double() + module.eps).sqrt()[:, None, None]  # type: ignore[operator]

        def record(_: nn.Module, args: tuple[Tensor], name: str = name, deviation: Tensor = deviation) -> None:
            inputs[name] = args[0].double() / deviation

        hooks.append(module.register_forward_pre_hook(record))
    with torch.inference_mode():
        network(normalise(torch.from_numpy(images), TRANSFORM))
    for hook in hooks:
        hook.remove()
    return inputs


def leaves(scaled: Tensor, sign: int, largest: float) -> NDArray[np.bool_]:
    """[N] whether the output of a norm that `overflowing` changed is beyond its largest number for an image."""
    beyond: NDArray[np.bool_] = (
        ((sign * largest + largest / 100 * scaled).abs() > 1.001 * largest).flatten(1).any(1).numpy()
    )
    return beyond


@both
@pytest.mark.parametrize(
    ("spec", "tested"),
    [
        ("projection", None),
        ("option A, end", None),
        pytest.param("resnet18, CIFAR stem", 9, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("sign", [-1, 1])
def test_overflow_after_any_batch_norm_is_refused(name: EngineName, spec: str, tested: int | None, sign: int) -> None:
    """Channels that leave float32 in either direction, at any layer, give no finite row and no job's result."""
    network, images = lived_in(SPECS[spec]), random_images(BATCHES[name])
    norms = norms_of(network)
    inputs, hidden = inputs_of(network, images), 0
    for norm in norms[::tested]:
        broken = overflowing(network, norm, sign)
        beyond = leaves(inputs[norm], sign, LARGEST)
        assert beyond.sum() > len(images) / 2
        with torch.inference_mode():
            plain = broken(normalise(torch.from_numpy(images), TRANSFORM))
        hidden += bool(torch.isfinite(plain[torch.from_numpy(beyond)]).all())
        made = engine(name, broken)
        logits = logits_of(made, images)
        assert not np.isfinite(logits[beyond]).all(axis=1).any(), norm
        with pytest.raises(JobError) as caught:
            list(forward_rows(made, images, np.arange(len(images)), logits.shape[1]))
        assert caught.value.code == "non-finite-logits"
    if sign < 0:  # the plain network's own rectifiers hide what becomes -inf, so this test can fail
        assert hidden > 1


@both
def test_a_stem_that_may_overflow_is_not_max_pooled(name: EngineName) -> None:
    """A max-pool would drop -inf and NaN, so a stem that could give them is refused before it runs."""
    spec = SPECS["resnet18, CIFAR stem of stride 2 with max-pool"]
    with pytest.raises(JobError, match="pools values") as caught:
        engine(name, overflowing(lived_in(spec), "bn1", -1))
    assert caught.value.code == "weights-overflow"


@both
def test_nan_in_any_layer_is_refused(name: EngineName) -> None:
    """A folded network whose parameters hold one NaN, in whichever layer, is not run."""
    network = lived_in(SPECS["projection"])
    for norm in norms_of(network):
        broken = copy.deepcopy(network)
        variance = broken.get_submodule(norm).running_var
        assert isinstance(variance, torch.Tensor)
        variance[-1] = -1.0
        with pytest.raises(JobError) as caught:
            engine(name, broken)
        assert caught.value.code == "weights-overflow"


def test_half_precision_has_a_smaller_range() -> None:
    """Folded weights above 65504 are refused in fp16 and taken in fp32 and bf16."""
    network = copy.deepcopy(lived_in(SPECS["projection"]))
    with torch.no_grad():
        network.get_parameter("fc.weight")[0, 0] = 70000.0
    precisions: tuple[Precision, ...] = ("fp32", "tf32", "bf16")
    for precision in precisions:
        expose_overflow(fold(network), TRANSFORM, precision)
    with pytest.raises(JobError, match="use fp32") as caught:
        expose_overflow(fold(network), TRANSFORM, "fp16")
    assert caught.value.code == "weights-overflow"


def test_half_precision_overflow_shows_in_pytorch() -> None:
    """An activation beyond 65504, of either sign, makes fp16 logits that are not finite; bf16 holds it."""
    network, images = lived_in(SPECS["projection"]), random_images(16)
    inputs = inputs_of(network, images)
    for norm in norms_of(network):
        for sign in (-1, 1):
            broken = overflowing(network, norm, sign, 65504.0)
            beyond = leaves(inputs[norm], sign, 65504.0)
            assert beyond.sum() > len(images) / 2
            half = logits_of(engine("torch", broken, precision="fp16"), images)
            brain = logits_of(engine("torch", broken, precision="bf16"), images)
            assert not np.isfinite(half[beyond]).all(axis=1).any(), (norm, sign)
            assert np.isfinite(brain).all()


def test_finite_networks_keep_their_bits() -> None:
    """Leaky rectifiers of slope 0 change no bit of a healthy network's folded forward pass."""
    network, images = lived_in(SPECS["projection"]), random_images(16)
    folded = fold(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.inference_mode():
        expected = folded(normalise(torch.from_numpy(images), TRANSFORM)).numpy()
    np.testing.assert_array_equal(logits_of(engine("torch", network), images), expected)


def test_the_bound_of_the_stem_holds_for_every_image() -> None:
    """No image gives more than the bound, and the worst image for a channel reaches it."""
    torch.manual_seed(0)
    stem = nn.Conv2d(3, 4, 3, padding=1)
    bound = largest_output(stem, TRANSFORM)
    with torch.no_grad():
        pixels = normalise(torch.from_numpy(random_images(64)), TRANSFORM)
        assert float(stem(pixels).abs().max()) <= bound
        # With zero mean of the bounds, black or white per weight is the worst image; half of it must be reached.
        worst = normalise(torch.from_numpy(np.array([0, 255], np.uint8)[None, :, None, None].repeat(3, 3)), TRANSFORM)
        low, high = worst[0, :, 0, 0], worst[0, :, 1, 0]  # [3] each
        patch = torch.where(stem.weight > 0, high[None, :, None, None], low[None, :, None, None])
        reached = (stem.weight * patch).sum(dim=(1, 2, 3)) + stem.get_parameter("bias")
    assert bound / 2 < float(reached.abs().max()) <= bound * (1 + 1e-6)
