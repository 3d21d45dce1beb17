"""The sets of weights in a checkpoint file, and the choice of the expert's set.

Training scripts save averaged weights, teachers and earlier epochs beside the network. A silent choice could give the
logits of another network, so a second, different set is an error until `datasets.toml` declares which to use.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor

from app.domain.errors import JobError
from worker.experts.tensors import AVERAGED, BATCH_COUNTER, HEADS, bare_names, bits_equal, problem

WRAPPERS = ("model_state_dict", "state_dict", "model", "net")
MAX_NESTING = 4  # depth of the search: a pickled dictionary may contain itself
TOP = "."
"""The path of the file's outermost mapping."""
LISTED = 10  # sets that an error names

Place = tuple[str, ...]
"""The keys that lead to a mapping; none for the top."""

OPTIMIZER = re.compile(r"optim(izer)?s?(_(ema|state|states|state_dict|state_dicts))?(_?\d+)?")
"""Keys under which an optimizer keeps its state."""


@dataclass(frozen=True, eq=False)
class WeightSet:
    """One mapping of the file that holds tensors.

    Attributes:
        places: its places in the file; several if the file holds the same object several times.
        levels: the mappings on the way to its first place, from the file's top to the set itself.
    """

    places: list[Place]
    levels: tuple[Mapping[str, Any], ...]
    tensors: Mapping[str, Tensor] = field(repr=False)

    @property
    def path(self) -> str:
        """Join the keys of its first place by dots; `.` for the top."""
        return _path(self.places[0])

    @property
    def usual(self) -> bool:
        """Tell whether it is at the top, or only within WRAPPERS."""
        return any(all(key in WRAPPERS for key in place) for place in self.places)

    @property
    def named(self) -> bool:
        """Tell whether its tensors have modules' names, such as `conv1.weight`."""
        return any("." in name for name in self.tensors)

    @cached_property
    def bare(self) -> dict[str, Tensor]:
        """Return the tensors that logits depend on, under bare names."""
        try:
            tensors, _ = bare_names(self.path, dict(self.tensors))
        except JobError:  # two names become one, which is an error only if this set is chosen
            tensors = dict(self.tensors)
        return {name: t for name, t in tensors.items() if name != AVERAGED and not name.endswith(BATCH_COUNTER)}

    @cached_property
    def names(self) -> frozenset[str]:
        """Return the bare names of its weights."""
        return frozenset(self.bare) - {"temperature"}


@dataclass(frozen=True)
class Choice:
    """The expert's set of weights, every other set, and notes."""

    weights: WeightSet
    other_sets: list[WeightSet]
    notes: list[str]


def choose_weights(file: str, loaded: object, wanted: str | None) -> Choice:
    """Choose an expert's weights in a loaded file.

    Sets at the top and within WRAPPERS compete with each other. Any other set competes with the chosen one if they
    share at least half of the names of the smaller one. Competing sets that are bitwise equal count as one. `wanted`
    is the declared path of the weights; None if none is declared.

    Raises:
        JobError: `checkpoint-no-weights`; `checkpoint-ambiguous`, naming the sets; `weights-not-found`.
    """
    sets = _find_sets(loaded)
    named = [weights for weights in sets if weights.named and weights.names]
    if wanted is not None:
        declared = _at(file, named, wanted)
        return Choice(declared, [other for other in named if other is not declared], [])
    # No known network has tensors without dotted names; recognition then reports what the set holds.
    unnamed = [weights for weights in sets if weights.usual and weights.names and isinstance(loaded, Mapping)]
    candidates = named or unnamed[-1:]
    if not candidates:
        raise _no_weights(file, loaded)
    usual = [candidate for candidate in candidates if candidate.usual]
    chosen = usual[0] if usual else max(candidates, key=lambda candidate: len(candidate.names))
    other_sets = [other for other in candidates if other is not chosen]
    rivals = [other for other in other_sets if other in usual or _alike(other, chosen)]
    if any(not _equal(chosen, rival) for rival in rivals):
        raise _ambiguous(file, [chosen, *rivals])
    notes = []
    same = [_path(place) for weights in (chosen, *rivals) for place in weights.places]
    if len(same) > 1:
        notes.append(f"The weights stand in {_listed(same)}; they are bitwise equal.")
    if not usual:
        notes.append(f"The weights were taken from '{chosen.path}': no other set of them is in the file.")
    return Choice(chosen, other_sets, notes)


def is_optimizer(key: str) -> bool:
    """Tell whether a key names an optimizer's state."""
    return OPTIMIZER.fullmatch(key.lower()) is not None


def _find_sets(loaded: object) -> list[WeightSet]:
    """Find each mapping with tensors once, from the top."""
    sets: dict[int, WeightSet] = {}
    visited: set[int] = set()
    waiting: deque[tuple[Place, tuple[Mapping[str, Any], ...], Any]] = deque([((), (), loaded)])
    while waiting:
        place, above, value = waiting.popleft()
        if id(value) in visited:
            if id(value) in sets:
                sets[id(value)].places.append(place)
            continue
        visited.add(id(value))
        entries = _entries(value)
        levels = (*above, entries)
        tensors = {key: entry for key, entry in entries.items() if isinstance(entry, Tensor)}
        if tensors:
            sets[id(value)] = WeightSet([place], levels, tensors)
        if len(place) < MAX_NESTING:
            inner = [key for key, entry in entries.items() if _is_container(entry) and not is_optimizer(key)]
            inner.sort(key=lambda key: key not in WRAPPERS)  # WRAPPERS first, so an object's first place is usual
            waiting.extend(((*place, key), levels, entries[key]) for key in inner)
    return list(sets.values())


def _entries(value: Any) -> Mapping[str, Any]:
    """List a mapping's entries, or a list's by number."""
    if isinstance(value, Mapping):
        return {str(key): entry for key, entry in value.items()}
    if isinstance(value, list | tuple):
        # Numbers and texts are left out, because a list may hold a long curve.
        return {str(i): entry for i, entry in enumerate(value) if isinstance(entry, Tensor) or _is_container(entry)}
    return {}


def _is_container(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _alike(other: WeightSet, chosen: WeightSet) -> bool:
    shared, smaller = other.names & chosen.names, min(len(other.names), len(chosen.names))
    # A network of another depth competes; a head alone does not.
    return 2 * len(shared) >= smaller and not all(name.startswith(HEADS) for name in shared)


def _equal(a: WeightSet, b: WeightSet) -> bool:
    return a.bare.keys() == b.bare.keys() and all(bits_equal(tensor, b.bare[name]) for name, tensor in a.bare.items())


def _at(file: str, named: Sequence[WeightSet], wanted: str) -> WeightSet:
    """Return the set at a declared path."""
    matching = [weights for weights in named if wanted in map(_path, weights.places)]
    if len(matching) > 1:  # a key may hold dots itself
        raise _ambiguous(file, matching)
    if not matching:
        paths = [weights.path for weights in named]
        raise problem(
            "weights-not-found",
            file,
            f"its weights are declared to stand in '{wanted}', where it has no named tensors. "
            + (f"It has sets of weights in {_listed(paths)}." if paths else "It has no set of weights at all."),
            weights=wanted,
            sets=paths[:LISTED],
        )
    return matching[0]


def _ambiguous(file: str, sets: Sequence[WeightSet]) -> JobError:
    paths = [weights.path for weights in sets]
    shown = _listed(paths)
    top = next((weights for weights in sets if weights.path == TOP), None)
    if top is not None:
        shown += f" ('{TOP}' is the file's top, with '{next(name for name in top.tensors if '.' in name)}')"
    return problem(
        "checkpoint-ambiguous",
        file,
        f"weights stand in {shown}, and relogit cannot know which to use; save one set of weights only, or name the "
        f'right set in datasets.toml, among the overrides for this file: weights = "{paths[-1]}".',
        names=paths[:LISTED],
    )


def _no_weights(file: str, loaded: object) -> JobError:
    entries = [str(key) for key in loaded][:20] if isinstance(loaded, Mapping) else []
    held = "its entries are " + ", ".join(entries) if entries else f"it holds a {type(loaded).__name__}"
    return problem(
        "checkpoint-no-weights",
        file,
        f"the file loads but has no named weights ({held}). Save the network's state_dict() at its top, or under one "
        f"of {', '.join(WRAPPERS)}.",
        entries=entries,
    )


def _path(place: Place) -> str:
    return ".".join(place) or TOP


def _listed(paths: Sequence[str]) -> str:
    """Write at most LISTED paths as `'a', 'b' and 'c'`."""
    shown = [f"'{path}'" for path in paths[:LISTED]]
    if len(paths) > LISTED:
        shown.append(f"{len(paths) - LISTED} more places")
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
