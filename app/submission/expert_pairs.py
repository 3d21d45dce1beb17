"""Which experts of two jobs are compared with each other, and what they are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

from app.catalog.folders import listed
from app.domain.errors import RequestError

Expert = tuple[str, str]
"""Id of a job, and the expert's name in it."""

Named = tuple[str, str | None]
"""Id of a job, and the expert that the request names, if any."""


def expert_pairs(
    a: Named, b: Named | None, experts: Mapping[str, Sequence[str]]
) -> tuple[tuple[Expert, Expert], ...]:
    """Pair the experts that a request names, A first.

    Of one job, all pairs; with one expert of it named, that one and each other. Of two jobs, equal names, or else the
    only ones.

    Args:
        a: the first side.
        b: the second side; None for pairs of `a` alone.
        experts: of each job, in its order.

    Raises:
        RequestError: `no-pairs` or `same-logits`.
    """
    if b is None or (a[0] == b[0] and None in (a[1], b[1])):
        return _pairs_of_one(a, b, experts[a[0]])
    names_a, names_b = (experts[job] if expert is None else [expert] for job, expert in (a, b))
    if a[1] is not None and b[1] is not None:
        if a == b:
            raise RequestError(
                "same-logits", f"Both sides are {a[1]} of job {a[0]}. Name two different experts or jobs."
            )
        return (((a[0], a[1]), (b[0], b[1])),)
    shared = [name for name in names_a if name in names_b]
    if shared:
        return tuple(((a[0], name), (b[0], name)) for name in shared)
    if len(names_a) == len(names_b) == 1:
        return (((a[0], names_a[0]), (b[0], names_b[0])),)
    raise RequestError(
        "no-pairs",
        f"The two sides share no expert's name.{listed(names_a, f'Job {a[0]} has')}"
        f"{listed(names_b, f'Job {b[0]} has')} Name one expert of each.",
        available=sorted({*names_a, *names_b}),
    )


def labels_of(experts: Sequence[Expert], id_shown: int) -> dict[Expert, str]:
    """Call each expert by its name, or by job and name where two jobs have an expert of that name.

    In the order in which they come first. `id_shown` characters of an id, or all of it where these are not enough.
    """
    distinct = tuple(dict.fromkeys(experts))
    names = Counter(name for _, name in distinct)
    short = Counter(job_id[:id_shown] for job_id in {job_id for job_id, _ in distinct})
    return {
        (job, name): name if names[name] == 1 else f"{job[:id_shown] if short[job[:id_shown]] == 1 else job}:{name}"
        for job, name in distinct
    }


def _pairs_of_one(a: Named, b: Named | None, names: Sequence[str]) -> tuple[tuple[Expert, Expert], ...]:
    """Pair the experts of one job."""
    job, first = a
    second = None if b is None else b[1]
    if len(names) < 2:
        raise RequestError(
            "no-pairs",
            f"Job {job} has logits of {names[0]} alone, and a comparison needs two experts. Name another job, folder "
            "or file to compare it with.",
        )
    if first is not None:
        return tuple(((job, first), (job, name)) for name in names if name != first)
    if second is not None:
        return tuple(((job, name), (job, second)) for name in names if name != second)
    return tuple(((job, x), (job, y)) for x, y in combinations(names, 2))
