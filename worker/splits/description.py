"""What a `splits.json` says of its lists and of their data set, held against what is there.

All are warnings: a job can use a list whatever is said of it. A part of another list shares its samples on purpose;
that is believed of the train list's own parts alone, and only where it is so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from app.catalog.split_lists import TRAIN_SPLIT
from app.catalog.split_sets import DESCRIPTION_FILE, DatasetDescription, ListDescription, list_sha256
from worker.splits.duplicate_images import Lists
from worker.verify.check import MAX_EVIDENCE, Check, skipped, warning_check

CHECK = "as-described"
NOTHING_SAID = f"There is no {DESCRIPTION_FILE} that says what it is."

Described = Mapping[str, ListDescription] | None
"""By the list's name; None where nothing is described."""


def parts(lists: Lists, described: Described) -> frozenset[frozenset[str]]:
    """Pairs of a part and its whole: described as such, and rightly."""
    every = (described or {}).items()
    named = {name: said for name, said in every if name in lists and said.part_of is not None}
    return frozenset(
        frozenset((name, str(said.part_of))) for name, said in named.items() if not _part_problem(name, lists, said)
    )


def check_list(name: str, lists: Lists, described: Described) -> Check:
    """The list has the rows that are described, and where it is described as a part of another it is one.

    Args:
        name: of the list.
        lists: all that could be read, this one among them.
        described: what is said of each.
    """
    if described is None:
        return skipped(CHECK, "warning", NOTHING_SAID)
    indices = lists[name][1]
    rows = {"rows": int(indices.size), "sha256": list_sha256(indices.tolist())}
    said = described.get(name)
    if said is None:
        message = f"{DESCRIPTION_FILE} describes other lists, but not {name!r}."
        return warning_check(CHECK, False, rows, "a list that is described", message)
    expected = {"rows": said.size, "sha256": said.sha256}
    wrong: list[str] = []
    if said.size is not None and said.size != rows["rows"]:
        wrong.append(f"it has {rows['rows']} rows, and {said.size} are described")
    elif said.sha256 is not None and said.sha256 != rows["sha256"]:
        wrong.append("its indices, or their order, are not those that are described")
    problem = _part_problem(name, lists, said)
    wrong += [problem] if problem else []
    message = f"{name!r} is what {DESCRIPTION_FILE} says."
    if wrong:
        message = f"{name!r} is not what {DESCRIPTION_FILE} says: {'; '.join(wrong)}."
    evidence = [{"index": index} for index in _outside(name, lists, said)[:MAX_EVIDENCE].tolist()]
    return warning_check(CHECK, not wrong, rows, expected, message, evidence)


def check_missing(name: str, said: ListDescription) -> Check:
    """A list that is described is there; this one is not."""
    message = f"{DESCRIPTION_FILE} describes the list {name!r}, which is not there."
    return warning_check(CHECK, False, "no list", {"rows": said.size, "sha256": said.sha256}, message)


def check_dataset(
    said: DatasetDescription | None, names: Collection[str], labels: Mapping[str, NDArray[np.int64]]
) -> Check:
    """The set was made for this data set, from the labels that it has now.

    Args:
        said: what is described, or None.
        names: that the data set is declared under; empty if it is not declared any more.
        labels: [N] by base, of those that are at hand.
    """
    if said is None:
        return skipped(CHECK, "warning", f"There is no {DESCRIPTION_FILE} that says from which data set it was made.")
    digests = {base: list_sha256(labels[base].tolist()) for base in sorted(said.labels_sha256) if base in labels}
    expected = {base: said.labels_sha256[base] for base in digests}
    named = said.name if names else None
    if named is None and not digests:
        return skipped(CHECK, "warning", "Neither the name nor the labels that it was made from can be compared.")
    wrong: list[str] = []
    if named is not None and named not in names:
        wrong.append(f"it was made for the data set {named!r}, not for {' or '.join(map(repr, sorted(names)))}")
    wrong += [
        f"the labels of {base!r} are not those that it was drawn from"
        for base in digests
        if digests[base] != expected[base]
    ]
    message = f"The set was made from the data set that {DESCRIPTION_FILE} names."
    if wrong:
        message = f"The set is not what {DESCRIPTION_FILE} says: {'; '.join(wrong)}."
    away = sorted(said.labels_sha256.keys() - digests.keys())
    if away:
        message += f" The labels of {', '.join(away)} are not at hand."
    measured = {"dataset": sorted(names), "labels_sha256": digests}
    return warning_check(CHECK, not wrong, measured, {"dataset": named, "labels_sha256": expected}, message)


def _part_problem(name: str, lists: Lists, said: ListDescription) -> str | None:
    """Why it is not the part of the train list that it is described as; None where it is, or is not described so."""
    whole = said.part_of
    if whole is None:
        return None
    if whole != TRAIN_SPLIT:
        return (
            f"it is described as a part of {whole!r}, but only {TRAIN_SPLIT!r} has parts that may share its samples"
        )
    if whole not in lists:
        return f"it is described as a part of {whole!r}, which is not there to compare it with"
    if lists[whole][0] != lists[name][0]:
        return f"it is described as a part of {whole!r}, which is over another base, {lists[whole][0]!r}"
    outside = _outside(name, lists, said).size
    return f"{outside} of its samples are not in {whole!r}, of which it is described as a part" if outside else None


def _outside(name: str, lists: Lists, said: ListDescription) -> NDArray[np.int64]:
    """Samples that the whole does not have, where both are over one base."""
    whole = lists.get(said.part_of or "")
    if whole is None or whole[0] != lists[name][0]:
        return np.empty(0, np.int64)
    return np.setdiff1d(lists[name][1], whole[1])
