"""Fit a combination of experts on one split, and choose its method by another."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import scipy

from app import VERSION
from app.domain.checks import Check
from app.domain.combine_requests import GatingRequest
from app.domain.combining import Candidate, Method, NetParameters, Rules
from app.domain.errors import JobError
from app.domain.outcomes import Choice, GatingOutcome, RoleRows
from app.files.disk import file_sha256
from worker.combine.combiners import combiner_of
from worker.combine.features import feature_count
from worker.combine.fitting import FitData, assess, pretrain
from worker.combine.gating_net import encode_tensors
from worker.combine.prior import effective_size, log_prior
from worker.combine.rejection import concatenate, fit_rules
from worker.combine.summary import summarise
from worker.tasks.expert_logits import ExpertLogits, SplitRows, group_map, inputs_of
from worker.verify.combining import (
    check_divisors,
    check_effective_rows,
    check_fit_rows,
    check_imported_net,
    check_shared_rows,
)


def fit_gating(inputs: ExpertLogits, check: Callable[[], None]) -> GatingOutcome:
    """Fit the requested methods and choose one.

    `check` is called often, and raises where the work is to stop.

    Raises:
        RelogitError: logits cannot be read or are not those that were verified; an old network does not fit.
    """
    request, groups = inputs.request, inputs.groups
    fit, validate = inputs.split(request.fit), inputs.split(request.validate)
    prior = log_prior(inputs.train_counts)
    candidates, method = _candidates(inputs, fit, validate, check)
    chosen = next(candidate for candidate in candidates if candidate.method == method)
    rules: Rules | None = None
    if request.mode == "selective":
        combiner = combiner_of(chosen.method, chosen.parameters, prior)
        rows = concatenate(*(summarise(part.rows, combiner, groups) for part in (fit, validate)))
        rules = fit_rules("group", "balanced", request.coverages, request.min_group_coverage, rows, check)
    return GatingOutcome(
        method=method,
        chosen=_choice(request, chosen),
        candidates=tuple(candidates),
        experts=request.experts,
        groups=group_map(groups),
        train_counts=tuple(inputs.train_counts.tolist()),
        prior=request.prior,
        seed=request.net.seed,
        fit=role_rows(request, fit),
        validate=role_rows(request, validate),
        inputs=inputs_of(request, (request.fit, request.validate)),
        divided_by=dict(request.divided_by),
        versions=versions(),
        rules=rules,
        checks=tuple(_checks(inputs, fit, validate)),
    )


def role_rows(request: GatingRequest, part: SplitRows) -> RoleRows:
    """Describe the rows of a role."""
    return RoleRows(request.list_of(part.split.name), effective_size(part.rows.weights))


def versions() -> Mapping[str, str]:
    """Name the versions that parameters and figures may depend on."""
    return {
        "relogit": VERSION,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "torch": version("torch"),
    }


def _candidates(
    inputs: ExpertLogits, fit: SplitRows, validate: SplitRows, check: Callable[[], None]
) -> tuple[list[Candidate], Method]:
    """Fit what the request names, or import its old network."""
    request, prior = inputs.request, log_prior(inputs.train_counts)
    data = FitData(fit.rows, validate.rows, prior, request.net, check)
    if request.net_file is None:
        return pretrain(data, inputs.groups, request.method)
    parameters = _imported_net(inputs.checkpoints_dir / request.net_file, request.net_sha256, len(request.experts))
    return [assess("net", parameters, data, inputs.groups)], "net"


def _imported_net(path: Path, sha256: str | None, experts: int) -> NetParameters:
    """Take an old network's weights: its features were of softmax(z), not standardised."""
    # Only training and reading a network need PyTorch.
    from worker.combine.net_training import read_old_net

    if file_sha256(path) != sha256:
        raise JobError("net-changed", f"{path.name} was changed since this job was accepted. Submit it again.")
    features = feature_count(experts)
    tensors = encode_tensors(read_old_net(path, experts))
    return NetParameters((1.0,) * experts, (0.0,) * features, (1.0,) * features, tensors)


def _choice(request: GatingRequest, chosen: Candidate) -> Choice:
    if request.method is not None:
        return "named"
    return "lowest" if chosen.nll_difference is None else "simplest"


def _checks(inputs: ExpertLogits, fit: SplitRows, validate: SplitRows) -> list[Check]:
    """Check what makes a combination mislead; none of it fails the job."""
    request = inputs.request
    checks = [
        check_effective_rows(request.fit, effective_size(fit.rows.weights), len(fit.rows.labels)),
        check_fit_rows(fit.split.base, request.fit, _accuracies(fit), _accuracies(validate)),
        check_shared_rows(validate.split, (fit.split, *inputs.lists_fitted_before())),
    ]
    # Figures on shared rows flatter: an evaluation refuses them, and this says so before.
    others = (name for name in request.splits if name not in (request.fit, request.validate))
    checks += [
        check_shared_rows(inputs.read_list(request.list_of(name)), (fit.split, validate.split)) for name in others
    ]
    if request.divided_by:
        checks.append(check_divisors(request.divided_by))
    if request.net_file is not None:
        checks.append(check_imported_net(request.net_file))
    return checks


def _accuracies(part: SplitRows) -> list[float]:
    """Compute each expert's plain accuracy."""
    rows = part.rows
    return [float((logits.argmax(axis=1) == rows.labels).mean()) for logits in rows.logits]
