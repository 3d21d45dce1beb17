"""Let overflow and NaN inside a network reach its logits, where the finite check sees them.

Most networks cannot overflow float32 whatever they are shown (`bounds.py`); they stay as they are. In
others a rectifier hides both: max(0, x) of NaN is 0 in OpenVINO, and of -inf it is 0 everywhere. So these get leaky
ones of slope 0: x > 0 ? x : 0 x. That is the same for every finite x, and NaN for NaN and -inf. From there each
convolution spreads it, because NaN or infinity times any finite weight is NaN or infinite. A max-pool may drop it, so
what it pools must be too small to overflow at all.
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
"""What weights and activations are stored in."""


def expose_overflow(folded: fx.GraphModule, transform: Transform, precision: Precision) -> fx.GraphModule:
    """Change a folded network so that overflow within it shows in its logits.

    Args:
        folded: as `worker.compute.engines.folding.fold` gives it; changed in place.
        transform: how the pixels are normalised, which bounds the network's input.
        precision: what the network computes in.

    Returns:
        The same module.

    Raises:
        JobError: `weights-overflow`: a parameter, or a value that is max-pooled, may exceed the precision's range.
    """
    _check_parameters(folded, precision)
    # Rounding, and sums that are transformed for speed, stay far below a factor of 1,000.
    if largest_value(folded, transform) <= torch.finfo(DTYPES[precision]).max / 1000:
        return folded
    _check_pooled(folded, transform, precision)
    return leaky(folded)


def leaky(folded: fx.GraphModule) -> fx.GraphModule:
    """Replace each rectifier of a graph, in place, by a leaky one of slope 0."""
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
            # Half of the range, so that rounding in between cannot matter.
            if largest_output(convolution, transform) > torch.finfo(DTYPES[precision]).max / 2:
                raise _overflow(f"{node.target} pools values that may exceed {precision}", precision)


def _stem(node: fx.Node, modules: dict[str, nn.Module]) -> nn.Conv2d | None:
    """Return the convolution of the input that a node only rectifies; None for any other node."""
    if node.op == "call_function" and node.target is F.relu:
        return _stem(node.args[0], modules)  # type: ignore[arg-type]  # a rectifier has a node for its input
    module = modules.get(str(node.target)) if node.op == "call_module" else None
    if isinstance(module, nn.ReLU):
        return _stem(node.args[0], modules)  # type: ignore[arg-type]
    first = isinstance(module, nn.Conv2d) and getattr(node.args[0], "op", None) == "placeholder"
    return module if first and isinstance(module, nn.Conv2d) else None


def largest_output(convolution: nn.Conv2d, transform: Transform) -> float:
    """Bound what a convolution of normalised pixels can give, whatever the image.

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
