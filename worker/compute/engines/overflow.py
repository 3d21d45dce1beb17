"""Let overflow and NaN inside a network reach its logits, where the finite check sees them.

Most networks cannot overflow float32 for any image (`bounds.py`) and stay as they are. In others a rectifier hides
overflow and NaN: max(0, x) is 0 for NaN in OpenVINO, and 0 for -inf everywhere. So they get leaky rectifiers of slope
0: x > 0 ? x : 0 x. For finite x the result is the same; for NaN and -inf it is NaN. Each convolution then spreads the
NaN, because NaN or infinity times any finite weight is NaN or infinite. A max-pool may drop NaN, so its input must be
too small to overflow at all.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every PyTorch reader knows
from torch import Tensor, fx, nn

from app.catalog.datasets import Transform
from app.domain.errors import JobError
from app.domain.requests import Precision
from worker.compute.engines.bounds import largest_value

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
"""Types that store weights and activations."""


def expose_overflow(folded: fx.GraphModule, transform: Transform, precision: Precision) -> fx.GraphModule:
    """Make overflow in a folded network reach its logits.

    Args:
        folded: the result of `worker.compute.engines.folding.fold`; changed in place.
        transform: how the pixels are normalised, which bounds the network's input.
        precision: the precision that the network computes in.

    Returns:
        The same module.

    Raises:
        JobError: `weights-overflow`: a parameter or the input of a max-pool may exceed the precision's range;
            `operation-unknown`: a max-pool does not follow the first convolution.
    """
    _check_parameters(folded, precision)
    # Rounding and fast convolution algorithms change values by far less than a factor of 1,000.
    if largest_value(folded, transform) <= torch.finfo(DTYPES[precision]).max / 1000:
        return folded
    _check_pooled(folded, transform, precision)
    return leaky(folded)


def leaky(folded: fx.GraphModule) -> fx.GraphModule:
    """Replace rectifiers, in place, by leaky ones of slope 0."""
    modules = dict(folded.named_modules())
    for node in folded.graph.nodes:
        module = modules.get(node.target) if node.op == "call_module" else None
        if isinstance(module, nn.ReLU) or (node.op == "call_function" and node.target is F.relu):
            with folded.graph.inserting_before(node):
                replacement = folded.graph.call_function(F.leaky_relu, (node.args[0], 0.0))
            node.replace_all_uses_with(replacement)
            folded.graph.erase_node(node)
    folded.delete_all_unused_submodules()
    folded.recompile()
    return folded


def _check_parameters(folded: fx.GraphModule, precision: Precision) -> None:
    for name, parameter in folded.named_parameters():
        if not torch.isfinite(parameter.to(DTYPES[precision])).all():
            raise _overflow(f"{name}, with batch norm folded into it, is not finite in {precision}", precision)


def _check_pooled(folded: fx.GraphModule, transform: Transform, precision: Precision) -> None:
    modules = dict(folded.named_modules())
    for node in folded.graph.nodes:
        if node.op == "call_module" and isinstance(modules[node.target], nn.MaxPool2d):
            convolution = _stem(node.args[0], modules)
            if convolution is None:
                raise JobError(
                    "operation-unknown",
                    f"The max-pool {node.target} does not follow the first convolution, so overflow could not be "
                    "seen behind it.",
                    operation=str(node.target),
                )
            # Half of the range leaves room for rounding.
            if largest_output(convolution, transform) > torch.finfo(DTYPES[precision]).max / 2:
                raise _overflow(f"{node.target} pools values that may exceed {precision}", precision)


def _stem(node: fx.Node, modules: dict[str, nn.Module]) -> nn.Conv2d | None:
    """Return the first convolution if the node only rectifies it."""
    if node.op == "call_function" and node.target is F.relu:
        return _stem(node.args[0], modules)  # type: ignore[arg-type]  # a rectifier has a node for its input
    module = modules.get(str(node.target)) if node.op == "call_module" else None
    if isinstance(module, nn.ReLU):
        return _stem(node.args[0], modules)  # type: ignore[arg-type]
    first = isinstance(module, nn.Conv2d) and getattr(node.args[0], "op", None) == "placeholder"
    return module if first and isinstance(module, nn.Conv2d) else None


def largest_output(convolution: nn.Conv2d, transform: Transform) -> float:
    """Bound a convolution's output for any normalised image.

    Returns:
        The largest absolute output: Σ|w| of a channel times the largest input of each colour, plus |bias|.
    """
    colours = zip(transform.mean, transform.std, strict=True)
    largest = torch.tensor(
        [max(abs(mean / std), abs((1 - mean) / std)) for mean, std in colours], dtype=torch.float64
    )
    sums = convolution.weight.detach().double().abs().sum(dim=(2, 3))  # [out, in / groups]
    bound: Tensor = sums @ largest if sums.shape[1] == largest.numel() else sums.sum(dim=1) * largest.max()  # [out]
    if convolution.bias is not None:
        bound = bound + convolution.bias.detach().double().abs()
    return float(bound.max())


def _overflow(what: str, precision: Precision) -> JobError:
    wider = "no precision can compute this network." if precision == "fp32" else "use fp32."
    return JobError("weights-overflow", f"The expert's weights are too large: {what}; {wider}", precision=precision)
