"""Numbers beside the weights of a checkpoint: its calibration temperature and its measured accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from worker.experts.tensors import FLOATS, INTEGERS, is_plain, problem
from worker.experts.weight_sets import MAX_NESTING, TOP, Choice, Place, is_optimizer

ACCURACIES = (
    "best_acc1", "best_prec1", "best_acc", "best_accuracy", "acc1", "prec1", "acc", "accuracy", "val_acc", "test_acc",
    "top1",
)  # fmt: skip
"""Names under which training scripts save a top-1 accuracy."""


@dataclass(frozen=True)
class StoredAccuracy:
    """An accuracy that the training script saved in the file.

    `name` is its path in the file, such as `best_acc1` or `metrics.acc`; `value` is a fraction, 0…1.
    """

    name: str
    value: float


@dataclass(frozen=True)
class OtherEntries:
    """The entries of a file beside the chosen set of weights.

    `temperatures` and `accuracies` are path to value, of entries with such a name; `ignored` are the paths of all
    entries that are no weights.
    """

    temperatures: dict[str, object]
    accuracies: dict[str, object]
    ignored: list[str]


def other_entries(choice: Choice) -> OtherEntries:
    """Collect the entries beside and above the chosen weights."""
    extras = OtherEntries({}, {}, [])
    place = choice.weights.places[0]
    for depth, entries in enumerate(choice.weights.levels):
        last = depth == len(choice.weights.levels) - 1
        ignored_tensors = 0
        for key, value in entries.items():
            path = ".".join((*place[:depth], key))
            if isinstance(value, Tensor) and (last or "." in key):
                ignored_tensors += not last
            elif key == "temperature" and value is not None:
                extras.temperatures[path] = value
            elif last or key != place[depth]:
                extras.ignored.append(path)
        if ignored_tensors:
            extras.ignored.append(f"{ignored_tensors} tensors of '{'.'.join(place[:depth]) or TOP}'")
        extras.accuracies.update(_accuracies(place[:depth], entries, _other_places(choice)))
    return extras


def _other_places(choice: Choice) -> set[Place]:
    """List the mappings around other sets of weights.

    Accuracies in these belong to the other sets.
    """
    places = (place for weights in choice.other_sets for place in weights.places)
    return {place[:depth] for place in places for depth in range(1, MAX_NESTING + 1)}


def _accuracies(place: Place, entries: Mapping[str, Any], other_places: set[Place]) -> Iterator[tuple[str, object]]:
    """Find accuracies in a mapping and its inner dictionaries."""
    visited: set[int] = set()
    for key, value in entries.items():
        path = (*place, key)
        if not isinstance(value, Mapping):
            yield from _accuracy(path, value)
        elif not (is_optimizer(key) or path in other_places or id(value) in visited):
            visited.add(id(value))
            for inner, entry in value.items():
                yield from _accuracy((*path, str(inner)), entry)


def _accuracy(path: Place, value: object) -> Iterator[tuple[str, object]]:
    if path[-1] in ACCURACIES and not (value is None or isinstance(value, Mapping)):
        yield ".".join(path), value


def read_temperature(file: str, stored: Mapping[str, object]) -> float | None:
    """Read a file's only temperature, finite and above 0.

    `stored` is path to value, of which a tensor has shape () or (1,).

    Raises:
        JobError: `temperature-invalid`; `checkpoint-ambiguous`, the values at two paths differ.
    """
    values: dict[str, float] = {}
    for place, value in stored.items():
        number = read_number(value)
        if not 0 < number < math.inf:
            raise problem(
                "temperature-invalid",
                file,
                f"'{place}' is not a temperature ({_shown(value)}); it has to be one finite number above 0.",
                name=place,
            )
        values[place] = number
    if not values:
        return None
    (first, number), *rest = values.items()
    for place, other in rest:
        # The same number may be stored as float32 and as float64.
        if not math.isclose(number, other, rel_tol=1e-6):
            raise problem(
                "checkpoint-ambiguous",
                file,
                f"two temperatures: '{first}' is {number:g} and '{place}' is {other:g}; the file may hold only one.",
                names=[first, place],
            )
    return number


def read_accuracy(stored: Mapping[str, object]) -> tuple[StoredAccuracy | None, list[str]]:
    """Read a file's saved accuracy; also return notes.

    A value above 1 is in percent, any other value is a fraction. Of several accuracies, one named `best_*` is taken.
    `stored` is path to value of any type.
    """
    notes: list[str] = []
    accuracies: list[StoredAccuracy] = []
    for place, value in stored.items():
        number = read_number(value)
        if not 0 <= number <= 100:  # NaN as well
            notes.append(f"'{place}' is not an accuracy ({_shown(value)}): one number from 0 to 100 was expected.")
            continue
        if number == 1:
            notes.append(f"'{place}' is 1: it was read as 100 %, and might mean 1 %.")
        accuracies.append(StoredAccuracy(place, number / 100 if number > 1 else number))
    if not accuracies:
        return None, notes
    chosen = min(accuracies, key=_preference)
    if len(accuracies) > 1:
        listed = ", ".join(f"{accuracy.name} {accuracy.value:.2%}" for accuracy in accuracies)
        notes.append(f"The file holds several accuracies: {listed}. '{chosen.name}' was taken.")
    return chosen, notes


def _preference(accuracy: StoredAccuracy) -> tuple[int, int]:
    """Rank `best_*` names first, then by depth."""
    *above, name = accuracy.name.split(".")
    return (not name.startswith("best_"), len(above))


def read_number(value: object) -> float:
    """Read a value as a number, else NaN.

    Text is read too, because safetensors keeps everything but tensors as text.
    """
    if isinstance(value, Tensor):
        readable = is_plain(value) and value.dtype in FLOATS | INTEGERS and value.shape in ((), (1,))
        return float(value.item()) if readable else math.nan
    try:
        return math.nan if isinstance(value, bool) else float(cast(Any, value))
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _shown(value: object) -> str:
    if isinstance(value, Tensor):
        shape = f"shape {list(value.shape)}"
        return f"{shape}, {value.flatten()[:3].tolist()}" if is_plain(value) else f"{shape}, {value.layout}"
    if isinstance(value, int) and value.bit_length() > 64:  # Python refuses to format very long integers
        return f"an integer of {value.bit_length()} bits"
    return f"{value!r:.40}" if isinstance(value, int | float | str) else type(value).__name__
