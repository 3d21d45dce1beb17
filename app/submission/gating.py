"""Check a request to combine experts against the verified logits that it names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset, read_declaration
from app.catalog.folders import Folder, listed
from app.catalog.split_lists import COUNTS_FILE, TRAIN_SPLIT, Split
from app.domain.combine_requests import GatingRequest, InputList, NetOptions
from app.domain.errors import RequestError
from app.domain.jobs import UnitPlan
from app.domain.names import check_folder, check_name
from app.domain.revisions import COMBINING, code_digest
from app.files.disk import file_sha256
from app.store.jobs import JobStore
from app.submission.combine_bodies import GatingBody
from app.submission.fitted_lists import lists_fitted_before
from app.submission.logit_inputs import VerifiedLogits, newest_logits, verified_logits
from app.submission.problems import Problems

NAMES = {"pretrain": "pretrained", "selective": "selective"}
"""Of combinations, by mode, where a request gives none."""


def plan_gating(body: GatingBody, catalog: Catalog, jobs: JobStore) -> tuple[GatingRequest, list[UnitPlan]]:
    """Check and complete a request, with a unit for each split.

    Raises:
        Refused: with a problem for each wrong item.
    """
    problems = Problems()
    wanted = body.logits
    source = problems.guard(
        "logits", lambda: verified_logits(newest_logits(jobs) if wanted is None else jobs.get(wanted))
    )
    if source is None:
        raise problems.refusal()
    return combine_logits(body, source, catalog)


def combine_logits(
    body: GatingBody, source: VerifiedLogits, catalog: Catalog
) -> tuple[GatingRequest, list[UnitPlan]]:
    """Check and complete a request to combine these logits.

    Raises:
        Refused: with a problem for each wrong item.
    """
    problems = Problems()
    dataset = read_declaration(source.request.declaration)
    folder = problems.guard("logits", lambda: catalog.splits_folder(dataset, source.request.splits_dir))
    experts = problems.guard("experts", lambda: _experts(body, source))
    if folder is None or experts is None:
        raise problems.refusal()
    splits = source.splits(experts)
    for where, split in (("fit", body.fit), ("validate", body.validate_)):
        problems.guard(where, partial(_check_split, split, splits, source, experts))
    read = {split: partial(_read_list, split, source, experts, catalog, dataset, folder) for split in splits}
    lists = _read_lists(body, read, problems)
    fitted_before = problems.guard("logits", lambda: lists_fitted_before(source, experts, catalog, dataset, folder))
    counts = problems.guard("logits", lambda: counts_sha256(folder, catalog))
    problems.guard("divided_by", lambda: _check_divisors(body.divided_by, experts))
    net = problems.guard("net_file", lambda: _net_file(body, catalog))
    name = problems.guard("name", lambda: check_name("name", body.name or NAMES[body.mode]))
    output_dir = problems.guard("output_dir", lambda: check_name("output_dir", body.output_dir))
    if problems.errors:
        raise problems.refusal()
    assert name is not None
    assert output_dir is not None
    assert counts is not None
    assert fitted_before is not None
    request = GatingRequest(
        dataset=source.request.dataset,
        splits_dir=source.request.splits_dir,
        experts=experts,
        splits=splits,
        name=name,
        output_dir=output_dir,
        logits=source.input(experts, splits),
        lists=tuple(InputList(item.name, item.base, item.sha256, item.indices.size) for item in lists),
        fitted_before=fitted_before,
        net_file=None if net is None else net[0],
        net_sha256=None if net is None else net[1],
        declaration=source.request.declaration,
        counts_sha256=counts,
        **_options(body),
    )
    identity = _identity(request)
    units = [UnitPlan(name, item.split, item.rows, item.sha256) for item in request.lists]
    return GatingRequest.from_dict(request.to_dict() | {"identity": identity}), units


def _options(body: GatingBody) -> dict[str, Any]:
    """Return the fields of the request that the body gives as they are."""
    names = ("mode", "prior", "groups", "head_threshold", "coverages", "min_group_coverage", "allow_overlap", "fit")
    return {name: getattr(body, name) for name in names} | {
        "validate": body.validate_,
        "method": body.method if body.net_file is None else "net",
        "net": NetOptions(body.epochs, body.lr, body.batch_size, body.seed),
        "divided_by": dict(body.divided_by),
    }


def identity_of(values: Mapping[str, Any]) -> str:
    """Hash what decides a result, and the code that computes it."""
    text = json.dumps([values, code_digest(COMBINING)], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _identity(request: GatingRequest) -> str:
    values = request.to_dict()
    values["logits"] = [[file.expert, file.split, file.sha256] for file in request.logits.files]
    return identity_of(values)


def _experts(body: GatingBody, source: VerifiedLogits) -> tuple[str, ...]:
    """Return the experts in the order of all parameters."""
    known = source.experts
    names = known if body.experts is None else body.experts
    if len(set(names)) < len(names):
        raise RequestError("repeated-name", f"An expert stands twice in {', '.join(names)}.")
    missing = [name for name in names if name not in known]
    if missing:
        raise RequestError(
            "expert-without-logits",
            f"Job {source.job.id} has no verified logits of {', '.join(missing)}.{listed(known, 'It has')}",
            available=sorted(known),
        )
    return names


def _check_split(split: str, splits: Sequence[str], source: VerifiedLogits, experts: Sequence[str]) -> None:
    if split not in splits:
        of = experts[0] if len(experts) == 1 else f"all of {', '.join(experts)}"
        raise RequestError(
            "split-without-logits",
            f"Job {source.job.id} has no verified logits of {of} for the split {split!r}.{listed(splits, 'It has')}",
            available=sorted(splits),
        )


def _read_lists(body: GatingBody, read: Mapping[str, Callable[[], Split]], problems: Problems) -> list[Split]:
    """Read the lists of all splits, and compare those to fit on and to validate by."""
    lists: dict[str, Split] = {}
    for split, read_list in read.items():
        where = {body.fit: "fit", body.validate_: "validate"}.get(split, "logits")
        if (found := problems.guard(where, read_list)) is not None:
            lists[split] = found
    if body.fit in lists and body.validate_ in lists:
        check = partial(_check_disjoint, lists[body.fit], lists[body.validate_], allowed=body.allow_overlap)
        problems.guard("validate", check)
    return list(lists.values())


def _read_list(
    name: str, source: VerifiedLogits, experts: Sequence[str], catalog: Catalog, dataset: Dataset, folder: Folder
) -> Split:
    """Read a list that the logits of all experts belong to."""
    split = catalog.read_split(dataset, folder, name)
    verified = {(source.files[expert, name].base, source.files[expert, name].split_sha256) for expert in experts}
    if verified != {(split.base, split.sha256)}:
        raise RequestError(
            "split-changed",
            f"The index list of {name!r} is not the one that the logits of job {source.job.id} were verified with. "
            "Recompute the logits, or verify them again.",
        )
    return split


def _check_disjoint(fit: Split, validate: Split, *, allowed: bool) -> None:
    shared = shared_samples(fit, validate)
    if shared and not allowed:
        raise RequestError(
            "overlap",
            f"{shared} samples of {validate.name!r} stand in {fit.name!r} as well, so the method would be chosen by "
            "rows that it was fitted on. Take other splits, or set allow_overlap.",
        )


def shared_samples(first: Split, second: Split) -> int:
    """Count the distinct samples of two lists; other bases share none."""
    return int(np.intersect1d(first.indices, second.indices).size) if first.base == second.base else 0


def counts_sha256(folder: Folder, catalog: Catalog) -> str:
    """Hash the file that the train counts come from."""
    path = folder.path / COUNTS_FILE
    if not path.exists():
        path = catalog.split_path(folder, TRAIN_SPLIT)
    try:
        return file_sha256(path)
    except OSError:
        raise RequestError(
            "train-counts-missing",
            f"{folder.name} has neither {COUNTS_FILE} nor a list {TRAIN_SPLIT!r}, so that the class groups and the "
            f"prior are unknown. Put {COUNTS_FILE}, a flat list of train samples by class, into it.",
        ) from None


def _check_divisors(divided_by: Mapping[str, float], experts: Sequence[str]) -> None:
    unknown = [name for name in divided_by if name not in experts]
    if unknown:
        message = f"{', '.join(unknown)} is not combined here.{listed(experts, 'The experts are')}"
        raise RequestError("unknown-expert", message, available=sorted(experts))


def _net_file(body: GatingBody, catalog: Catalog) -> tuple[str, str] | None:
    """Return the name and sha256 of the old network, if one is named."""
    if body.net_file is None:
        return None
    if body.method not in (None, "net"):
        raise RequestError("net-file-unused", f"net_file is for the method 'net', not for {body.method!r}.")
    name = check_folder("net_file", body.net_file)
    path: Path = catalog.settings.checkpoints_dir / name
    if not path.is_file():
        raise RequestError("net-file-missing", f"There is no file {path}. Put the old network there.")
    try:
        return name, file_sha256(path)
    except OSError as error:
        raise RequestError("net-file-missing", f"{path} cannot be read: {error.strerror}.") from error
