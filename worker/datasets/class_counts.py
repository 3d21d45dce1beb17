"""Class counts and class weights of a set of splits, read from its files or derived from its train list."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

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
    declared = read_declared(folder)
    counts, counts_reason = declared.counts, declared.counts_reason
    if not (folder.path / COUNTS_FILE).exists():
        counts, counts_reason = _derived_counts(catalog, pools, dataset, folder)
    if (folder.path / WEIGHTS_FILE).exists():
        return LongTail(counts, counts_reason, declared.weights, declared.weights_reason)
    if counts is None or counts.sum() == 0:
        reason = f"There is no {WEIGHTS_FILE}, and no class counts to derive the weights from."
        return LongTail(counts, counts_reason, None, reason)
    return LongTail(counts, counts_reason, counts / counts.sum(), None)


def read_declared(folder: Folder) -> LongTail:
    """Read the two files alone; derive nothing."""
    counts, counts_reason = _numbers(folder, COUNTS_FILE)
    if counts is not None and any(number != int(number) or abs(number) > MAX_COUNT for number in counts):
        counts = None
        counts_reason = f"{COUNTS_FILE} holds a number that is no count: not an integer, or beyond {MAX_COUNT}."
    weights, reason = _numbers(folder, WEIGHTS_FILE)
    return LongTail(
        None if counts is None else np.asarray(counts, np.int64),
        counts_reason,
        None if weights is None else np.asarray(weights, np.float64),
        reason,
    )


def _derived_counts(
    catalog: Catalog, pools: Pools, dataset: Dataset, folder: Folder
) -> tuple[NDArray[np.int64] | None, str | None]:
    if not catalog.split_path(folder, TRAIN_SPLIT).exists():
        return None, f"There is neither {COUNTS_FILE} nor a split {TRAIN_SPLIT!r} in {folder.name}."
    try:
        split = catalog.read_split(dataset, folder, TRAIN_SPLIT)
        labels = pools.labels(dataset, split.base)
    except RequestError as error:
        return None, f"There is no {COUNTS_FILE}, and the train labels cannot be read: {error.message}"
    counts = np.bincount(labels[split.indices], minlength=catalog.bases.classes(dataset))
    return counts.astype(np.int64), None


def _numbers(folder: Folder, name: str) -> tuple[list[float] | None, str | None]:
    try:
        values = json.loads((folder.path / name).read_bytes(), parse_int=float)
    except FileNotFoundError:
        return None, f"There is no {name} in {folder.name}."
    except (ValueError, RecursionError) as error:
        return None, f"{name} is not JSON: {error}."
    except OSError as error:
        return None, f"{name} cannot be read: {error.strerror}."
    if not isinstance(values, list) or not all(type(value) is float and math.isfinite(value) for value in values):
        return None, f"{name} is not a flat list of numbers, one for each class in class order."
    return values, None
