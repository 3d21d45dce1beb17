"""Checks between the units of a job."""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.checks import MAX_EVIDENCE, Check, error_check, skipped


def check_targets_between_experts(split: str, digests: Mapping[str, str]) -> Check:
    """Check by their sha256 that all experts wrote the same targets."""
    return _all_equal(
        "targets-between-experts", f"the same targets for the split {split!r}", {"split": split}, digests
    )


def check_data_between_units(base: str, digests: Mapping[str, str]) -> Check:
    """Check that units of a base had the same images and labels.

    `digests` are those of pixels and labels by "expert/split"; at least one.
    """
    what = f"the same data for the base {base!r}"
    return _all_equal("data-between-units", what, {"base": base}, digests)


def _all_equal(check_id: str, what: str, of: dict[str, str], digests: Mapping[str, str]) -> Check:
    if len(digests) < 2:
        return skipped(check_id, "error", f"Only {next(iter(digests))} has {what}; two are needed to compare.")
    holders: dict[str, list[str]] = {}
    for name, digest in digests.items():
        holders.setdefault(digest, []).append(name)
    good = len(holders) == 1
    message = f"All {len(digests)} have {what}." if good else f"Not all {len(digests)} have {what}, as they must."
    groups = [{"sha256": sha256, "of": names[:MAX_EVIDENCE]} for sha256, names in holders.items()]
    measured = of | {"compared": len(digests), "distinct": len(holders)}
    return error_check(check_id, good, measured, of | {"distinct": 1}, message, [] if good else groups[:MAX_EVIDENCE])
