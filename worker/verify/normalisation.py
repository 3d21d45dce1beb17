"""Checks of mean, std and channel order against what the checkpoint itself shows."""

from __future__ import annotations

from app.catalog.normalisation import Evidence, proposal, swapped
from app.domain.checks import Check, error_check, skipped, warning_check


def check_normalisation(evidence: Evidence, dataset: str, stem: str, *, acknowledged: bool) -> Check:
    """Check declared mean and std against the first batch norm.

    `acknowledged`: whether the owner takes a contradicted declaration all the same.
    """
    verdict, level = evidence["verdict"], "error" if evidence["severity"] == "error" else "warning"
    if verdict == "undecidable":
        return skipped("normalisation", "warning", evidence["message"])
    message = evidence["message"]
    if verdict == "contradicted" and acknowledged:
        message += " The owner has acknowledged this in datasets.toml."
    if verdict == "contradicted":
        message += f" To be declared: {'; '.join(proposal(evidence, dataset, stem))}."
    measured = {
        "verdict": verdict,
        "divergence": evidence["declared_divergence"],
        "best_other": evidence["best"]["name"],
        "best_other_divergence": evidence["best_divergence"],
        "augmentation": evidence["hypothesis"],
        "images": evidence["images"],
    }
    make = error_check if level == "error" and not acknowledged else warning_check
    return make("normalisation", verdict == "supported", measured, {"verdict": "supported"}, message)


def check_channel_order(evidence: Evidence, *, acknowledged: bool) -> Check:
    """Check by labels that the network reads channels as RGB."""
    order = evidence["channel_order"]
    if order["order"] == "undecidable":
        return skipped("channel-order", "warning", order["message"])
    measured = {name: order[name] for name in ("order", "images", "difference", "standard_error")}
    make = error_check if swapped(evidence) and not acknowledged else warning_check
    return make("channel-order", order["order"] == "rgb", measured, {"order": "rgb"}, order["message"])
