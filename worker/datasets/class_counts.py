"""Class counts and class weights of a set of splits, read from its files or derived from its train list."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.catalog.catalog import Catalog
from app.catalog.datasets import Dataset
from app.catalog.folders import Folder
from app.catalog.split_lists import COUNTS_FILE, TRAIN_SPLIT, WEIGHTS_FILE
from app.domain.errors import RequestError
from worker.datasets.pools import Pools

MAX_COUNT = 2**53


@dataclass(frozen=True)
class LongTail:
    """Class counts and class weights, each None with a reason if unavailable."""

    counts: NDArray[np.int64] | None
    """[C] int64, train samples of each class, n_c."""
    counts_reason: str | None
    weights: NDArray[np.float64] | None
    """[C] float64, w_c = n_c / Σ n."""
    weights_reason: str | None


def read_long_tail(catalog: Catalog, pools: Pools, dataset: Dataset, folder: Folder) -> LongTail:
    """Read class counts and class weights, or derive them.

    Without their files, counts come from the labels of the train split, and weights from the counts.
    """
    counts, counts_reason = _counts(catalog, pools, dataset, folder)
    path = folder.path / WEIGHTS_FILE
    if path.exists():
        numbers, reason = _numbers(path)
        weights = None if numbers is None else np.asarray(numbers, np.float64)
        return LongTail(counts, counts_reason, weights, reason)
    if counts is None or counts.sum() == 0:
        reason = f"There is no {WEIGHTS_FILE}, and no class counts to derive the weights from."
        return LongTail(counts, counts_reason, None, reason)
    return LongTail(counts, counts_reason, counts / counts.sum(), None)


def read_declared(folder: Folder) -> LongTail:
    """Read the two files alone; derive nothing."""
    counts, counts_reason = _declared_counts(folder)
    path = folder.path / WEIGHTS_FILE
    numbers, reason = _numbers(path) if path.exists() else (None, f"There is no {WEIGHTS_FILE} in {folder.name}.")
    return LongTail(counts, counts_reason, None if numbers is None else np.asarray(numbers, np.float64), reason)


def _declared_counts(folder: Folder) -> tuple[NDArray[np.int64] | None, str | None]:
    path = folder.path / COUNTS_FILE
    if not path.exists():
        return None, f"There is no {COUNTS_FILE} in {folder.name}."
    numbers, reason = _numbers(path)
    if numbers is not None and any(number != int(number) or abs(number) > MAX_COUNT for number in numbers):
        return None, f"{COUNTS_FILE} holds a number that is no count: not an integer, or beyond {MAX_COUNT}."
    return None if numbers is None else np.asarray(numbers, np.int64), reason


def _counts(
    catalog: Catalog, pools: Pools, dataset: Dataset, folder: Folder
) -> tuple[NDArray[np.int64] | None, str | None]:
    if (folder.path / COUNTS_FILE).exists():
        return _declared_counts(folder)
    if not catalog.split_path(folder, TRAIN_SPLIT).exists():
        return None, f"There is neither {COUNTS_FILE} nor a split {TRAIN_SPLIT!r} in {folder.name}."
    try:
        split = catalog.read_split(dataset, folder, TRAIN_SPLIT)
        labels = pools.labels(dataset, split.base)
    except RequestError as error:
        return None, f"There is no {COUNTS_FILE}, and the train labels cannot be read: {error.message}"
    counts = np.bincount(labels[split.indices], minlength=catalog.bases.classes(dataset))
    return counts.astype(np.int64), None


def _numbers(path: Path) -> tuple[list[float] | None, str | None]:
    try:
        values = json.loads(path.read_bytes(), parse_int=float)
    except (ValueError, RecursionError) as error:
        return None, f"{path.name} is not JSON: {error}."
    except OSError as error:
        return None, f"{path.name} cannot be read: {error.strerror}."
    if not isinstance(values, list) or not all(type(value) is float and math.isfinite(value) for value in values):
        return None, f"{path.name} is not a flat list of numbers, one for each class in class order."
    return values, None
