"""Import index lists that another tool wrote as a set of splits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from itertools import combinations
from typing import Any

from app import VERSION
from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset
from app.catalog.split_lists import COUNTS_FILE, SPLIT_SUFFIX, TRAIN_SPLIT, WEIGHTS_FILE
from app.catalog.split_sets import DESCRIPTION_FILE, free_name, list_sha256, write_set
from app.domain.errors import RequestError
from app.domain.names import check_name
from app.domain.times import rfc3339
from app.submission.bodies import ImportBody, ImportedList
from app.submission.problems import Problems

RESERVED = frozenset({"audit"})
"""Names that no list can have: `GET /splits/{name}/audit` answers with the set's audit."""


def import_splits(body: ImportBody, catalog: Catalog) -> dict[str, Any]:
    """Check lists, write them and return the set's description.

    Its `doubtful` holds sentences about what could not be checked or may be wrong.

    Raises:
        Conflict: the name is taken.
        Refused: with a problem for each wrong item; nothing is written then.
    """
    problems = Problems()
    folder = catalog.settings.data_dir
    name = problems.guard("name", lambda: free_name(body.name, folder, body.overwrite))
    dataset = problems.guard("dataset", lambda: catalog.dataset(body.dataset))
    names = [entry.name for entry in body.lists]
    doubtful: list[str] = []
    if dataset is not None:
        for i, entry in enumerate(body.lists):
            problems.guard(f"lists/{i}", partial(_check_list, entry, dataset, catalog, names[:i], doubtful))
    if name is None or problems.errors:
        raise problems.refusal()
    doubtful += [*_repeats(body.lists), *_overlaps(body.lists)]
    files: dict[str, Any] = {f"{entry.name}{SPLIT_SUFFIX}": list(entry.indices) for entry in body.lists}
    for file, values in ((WEIGHTS_FILE, body.class_weights), (COUNTS_FILE, body.train_class_counts)):
        if values is None:
            doubtful.append(f"There is no {file}.")
        else:
            files[file] = list(values)
    if TRAIN_SPLIT not in names:
        doubtful.append(f"There is no list {TRAIN_SPLIT!r} that counts and weights could be held against.")
    description = _describe(body, name)
    write_set(folder / name, files | {DESCRIPTION_FILE: description}, overwrite=body.overwrite)
    return description | {"doubtful": doubtful}


def _check_list(
    entry: ImportedList, dataset: Dataset, catalog: Catalog, earlier: list[str], doubtful: list[str]
) -> None:
    """Check a list's name, base and indices.

    `earlier` are the names before it.
    """
    name, bases = check_name("list", entry.name), catalog.bases.names(dataset)
    if name in RESERVED:
        message = f"A list cannot be called {name!r}: under that name the service answers with the set's audit. "
        raise RequestError("reserved-name", f"{message}Any other plain name, such as '{name}_list', would be right.")
    if name in earlier:
        raise RequestError("repeated-name", f"{name!r} stands twice among the lists.")
    if entry.base not in bases:
        listed = ", ".join(bases)
        raise RequestError("base-unknown", f"{name!r}: there is no base {entry.base!r}; there are {listed}.")
    size: int | None = None
    try:
        size = catalog.bases.size(dataset, entry.base)
    except RequestError as error:
        doubtful.append(f"Whether {name!r} stays within {entry.base!r} could not be checked. {error.message}")
    for position, index in enumerate(entry.indices):
        if index < 0 or (size is not None and index >= size):
            right = "0 or more" if size is None else f"0 to {size - 1}"
            message = f"{name!r} holds {index} at position {position}; {right} would be right for {entry.base!r}."
            raise RequestError("split-out-of-range", message, position=position)


def _repeats(lists: Sequence[ImportedList]) -> list[str]:
    sizes = [(entry.name, len(entry.indices), len(set(entry.indices))) for entry in lists]
    return [
        f"{name!r} repeats indices: its {rows:,} rows are {_samples(samples)}."
        for name, rows, samples in sizes
        if rows > samples
    ]


def _overlaps(lists: Sequence[ImportedList]) -> list[str]:
    """Name lists over one base that share samples."""
    sentences = []
    for first, second in combinations([(entry, set(entry.indices)) for entry in lists], 2):
        shared = len(first[1] & second[1])
        if first[0].base == second[0].base and shared:
            whole = [repr(entry.name) for entry, samples in (first, second) if len(samples) == shared]
            more = f", all of {' and of '.join(whole)}" if whole else ""
            names = f"{first[0].name!r} and {second[0].name!r}"
            sentences.append(f"{names} share {_samples(shared)} of {first[0].base!r}{more}.")
    return sentences


def _samples(number: int) -> str:
    return "1 sample" if number == 1 else f"{number:,} samples"


def _describe(body: ImportBody, name: str) -> dict[str, Any]:
    """Describe the set as its `splits.json` does."""
    lists = {
        entry.name: {"base": entry.base, "size": len(entry.indices), "sha256": list_sha256(list(entry.indices))}
        for entry in body.lists
    }
    origin = {"made_by": f"relogit {VERSION}, imported", "made_at": rfc3339(time.time())}
    return {"schema": 1, "name": name, **origin, "lists": lists, "dataset": {"name": body.dataset}}
