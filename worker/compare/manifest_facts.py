"""What two manifests say that their files were made with, and how that differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.comparisons import CauseKind
from worker.verify.combining import is_combination
from worker.verify.manifest_checks import plain_entry
from worker.verify.provenance import preparation

SHOWN_DIGITS = 12
"""Of a digest, in a sentence."""

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ManifestFact:
    """One thing in which two manifests differ."""

    kind: CauseKind
    sentence: str
    value: str | None = None


def manifest_facts(a: Manifest | None, b: Manifest | None) -> list[ManifestFact]:
    """List what both manifests state differently, the most telling first.

    Empty where a manifest is missing, or where they agree.
    """
    return [] if a is None or b is None else list(_facts(a, b))


def _facts(a: Manifest, b: Manifest) -> Iterator[ManifestFact]:
    combined = [is_combination(manifest) for manifest in (a, b)]
    if any(combined):
        yield from _combination_facts(a, b)
        return
    yield from _digest_fact("other-weights", "tensors of the checkpoints", a, b, "checkpoint", "tensors_sha256")
    first, second = a.get("checkpoint"), b.get("checkpoint")
    if isinstance(first, dict) and isinstance(second, dict) and first.get("network") != second.get("network"):
        yield ManifestFact("other-network", "The networks differ in what the tensors do not tell, such as padding.")
    yield from _digest_fact("other-data", "images and labels of the base", a, b, "dataset", "sha256")
    yield from _preparation_facts(preparation(a), preparation(b))
    computing = [_computing(manifest) for manifest in (a, b)]
    if computing[0] != computing[1]:
        yield ManifestFact("precision", f"A was computed with {computing[0]}, B with {computing[1]}.", computing[1])


def _preparation_facts(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[ManifestFact]:
    if "transform" in a and "transform" in b and a["transform"] != b["transform"]:
        values = [normalisation_text(side["transform"]["mean"], side["transform"]["std"]) for side in (a, b)]
        sentence = f"The images were normalised differently: A with {values[0]}, B with {values[1]}."
        yield ManifestFact("other-normalisation", sentence, values[1])
    divisors = [(side.get("calibration") or {}).get("divided_by") for side in (a, b)]
    if "calibration" in a and "calibration" in b and divisors[0] != divisors[1]:
        texts = ["not divided" if divisor is None else f"divided by {divisor:.6g}" for divisor in divisors]
        yield ManifestFact("other-calibration", f"A's logits were {texts[0]}, B's {texts[1]}.", texts[1])


def _combination_facts(a: Manifest, b: Manifest) -> Iterator[ManifestFact]:
    names = [_made(manifest) for manifest in (a, b)]
    digests = [plain_entry(manifest, "checkpoint", "sha256") for manifest in (a, b)]
    if names[0] != names[1] or digests[0] != digests[1]:
        same = " with other parameters" if names[0] == names[1] else ""
        yield ManifestFact("other-weights", f"A is {names[0]}, B is {names[1]}{same}.")


def _made(manifest: Manifest) -> str:
    if not is_combination(manifest):
        return "an expert"
    combination = manifest["combination"]
    experts = combination.get("experts") if isinstance(combination, dict) else None
    method = plain_entry(manifest, "combination", "method") or "unknown"
    count = f" of {len(experts)} experts" if isinstance(experts, list) else ""
    return f"a combination ({method}{count})"


def _digest_fact(
    kind: CauseKind, what: str, a: Manifest, b: Manifest, part: str, entry: str
) -> Iterator[ManifestFact]:
    first, second = plain_entry(a, part, entry), plain_entry(b, part, entry)
    if first is not None and second is not None and first != second:
        shown = [digest[:SHOWN_DIGITS] for digest in (first, second)]
        yield ManifestFact(kind, f"The {what} differ: sha256 {shown[0]}… of A, {shown[1]}… of B.", shown[1])


def _computing(manifest: Manifest) -> str:
    entries = [plain_entry(manifest, "compute", name) for name in ("precision", "engine", "device")]
    return ", ".join(entry for entry in entries if entry) or "nothing stated"


def normalisation_text(mean: object, std: object) -> str:
    """Write a mean and std for people."""
    return f"mean {_numbers(mean)}, std {_numbers(std)}"


def _numbers(values: object) -> str:
    return " ".join(f"{float(value):g}" for value in values) if isinstance(values, list | tuple) else str(values)
