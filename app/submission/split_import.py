"""Index lists that somebody else made, taken over as a set of splits, with what is doubtful about them."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

from app import VERSION
from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset
from app.catalog.split_lists import COUNTS_FILE, SPLIT_SUFFIX, TRAIN_SPLIT, WEIGHTS_FILE
from app.catalog.split_sets import DESCRIPTION_FILE, free_name, write_set
from app.domain.errors import RequestError
from app.domain.names import check_name
from app.domain.times import rfc3339
from app.submission.recompute import Problems

RESERVED = frozenset({"audit"})
"""No list can be called so: what `GET /splits/{name}/audit` answers is the set's audit."""


@dataclass(frozen=True, slots=True)
class ImportedList:
    """A list as it came."""

    name: str
    base: str
    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """A request as it came."""

    name: str
    dataset: str
    lists: tuple[ImportedList, ...]
    class_weights: tuple[float, ...] | None
    train_class_counts: tuple[int, ...] | None
    overwrite: bool


def import_splits(order: ImportOrder, catalog: Catalog) -> dict[str, Any]:
    """Check lists and write them as a set.

    Returns:
        Its description, with what is `doubtful`: sentences.

    Raises:
        Conflict: the name is taken.
        Refused: with a problem for each wrong item; nothing is written then.
    """
    problems = Problems()
    folder = catalog.settings.data_dir
    name = problems.guard("name", lambda: free_name(order.name, folder, order.overwrite))
    dataset = problems.guard("dataset", lambda: catalog.dataset(order.dataset))
    names = [one.name for one in order.lists]
    doubtful: list[str] = []
    if dataset is not None:
        for i, one in enumerate(order.lists):
            problems.guard(f"lists/{i}", partial(_check_list, one, dataset, catalog, names[:i], doubtful))
    if name is None or problems.found:
        raise problems.refusal()
    doubtful += [*_repeats(order.lists), *_overlaps(order.lists)]
    files: dict[str, Any] = {f"{one.name}{SPLIT_SUFFIX}": list(one.indices) for one in order.lists}
    for file, values in ((WEIGHTS_FILE, order.class_weights), (COUNTS_FILE, order.train_class_counts)):
        if values is None:
            doubtful.append(f"There is no {file}.")
        else:
            files[file] = list(values)
    if TRAIN_SPLIT not in names:
        doubtful.append(f"There is no list {TRAIN_SPLIT!r} that counts and weights could be held against.")
    described = _describe(order, name)
    write_set(folder / name, files | {DESCRIPTION_FILE: described}, overwrite=order.overwrite)
    return described | {"doubtful": doubtful}


def _check_list(
    one: ImportedList, dataset: Dataset, catalog: Catalog, before: list[str], doubtful: list[str]
) -> None:
    name, bases = check_name("list", one.name), catalog.bases.names(dataset)
    if name in RESERVED:
        message = f"A list cannot be called {name!r}: under that name the service answers with the set's audit. "
        raise RequestError("reserved-name", f"{message}Any other plain name, such as '{name}_list', would be right.")
    if name in before:
        raise RequestError("repeated-name", f"{name!r} stands twice among the lists.")
    if one.base not in bases:
        there = ", ".join(bases)
        raise RequestError("base-unknown", f"{name!r}: there is no base {one.base!r}; there are {there}.")
    size: int | None = None
    try:
        size = catalog.bases.size(dataset, one.base)
    except RequestError as error:
        doubtful.append(f"Whether {name!r} stays within {one.base!r} could not be checked. {error.message}")
    for position, index in enumerate(one.indices):
        if index < 0 or (size is not None and index >= size):
            right = "0 or more" if size is None else f"0 to {size - 1}"
            message = f"{name!r} holds {index} at position {position}; {right} would be right for {one.base!r}."
            raise RequestError("split-out-of-range", message, position=position)


def _repeats(lists: Sequence[ImportedList]) -> list[str]:
    said = []
    for one in lists:
        rows, samples = len(one.indices), len(set(one.indices))
        if rows > samples:
            said.append(f"{one.name!r} repeats indices: its {rows:,} rows are {_samples(samples)}.")
    return said


def _overlaps(lists: Sequence[ImportedList]) -> list[str]:
    """Lists over one base that share samples: what one of them is tuned on, the other is then no test of."""
    held = [(one, set(one.indices)) for one in lists]
    said = []
    for (one, its), (other, others) in combinations(held, 2):
        if one.base == other.base and (shared := len(its & others)):
            whole = [
                repr(held_by.name) for held_by, samples in ((one, its), (other, others)) if len(samples) == shared
            ]
            more = f", all of {' and of '.join(whole)}" if whole else ""
            said.append(f"{one.name!r} and {other.name!r} share {_samples(shared)} of {one.base!r}{more}.")
    return said


def _samples(number: int) -> str:
    return "1 sample" if number == 1 else f"{number:,} samples"


def _describe(order: ImportOrder, name: str) -> dict[str, Any]:
    lists = {}
    for one in order.lists:
        text = json.dumps(list(one.indices), separators=(",", ":"))
        digest = hashlib.sha256(text.encode()).hexdigest()
        lists[one.name] = {"base": one.base, "size": len(one.indices), "sha256": digest}
    made = {"made_by": f"relogit {VERSION}, imported", "made_at": rfc3339(time.time())}
    return {"schema": 1, "name": name, **made, "lists": lists, "dataset": {"name": order.dataset}}
