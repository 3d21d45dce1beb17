"""Find why the logits of A and B differ, as far as it can be proved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.domain.comparisons import Cause, Pairing
from worker.compare.fits import LogitPair, Residual, moved_rows, prior_strength
from worker.compare.manifest_facts import Manifest, ManifestFact, manifest_facts
from worker.compare.rows import Floats, Ints, Logits
from worker.verify.provenance import preparation
from worker.verify.sample import relative_tolerance

STATED = {
    "tensors_sha256": "weights",
    "transform": "normalisation",
    "calibration": "calibration",
    "precision": "precision",
}
"""What a manifest states (`preparation`) → how people call it."""


@dataclass(frozen=True, eq=False)
class CauseInput:
    """What a cause is looked for in.

    Attributes:
        a, b: paired logits [N, C].
        whole_a, whole_b: all rows of both files, as they stand there.
        pairing: how the rows were paired.
        manifests: of A and of B; None for a file without one.
        train_counts: [C] train samples by class, if known.
    """

    a: Logits
    b: Logits
    whole_a: Logits
    whole_b: Logits
    pairing: Pairing
    manifests: tuple[Manifest | None, Manifest | None]
    train_counts: Ints | None = None


def find_cause(given: CauseInput) -> Cause:
    """Name the cause of the difference, or say what was excluded.

    A cause is named only if the numbers or both manifests prove it: a law has to hold for every row within the
    arithmetic of the files. In this order: identical logits; a constant for each row, a temperature, a constant for
    each class; rows in another order; what manifests state; precision.
    """
    facts = manifest_facts(*given.manifests)
    telling = [fact for fact in facts if fact.kind != "precision"]
    computing = [fact for fact in facts if fact.kind == "precision"]
    if given.a.shape != given.b.shape:
        classes = f"A has {given.a.shape[1]} classes and B {given.b.shape[1]}, so their logits were not compared."
        return _of_facts(telling, (classes,)) or _unknown((classes,))
    if np.array_equal(given.a, given.b):
        return _of_same(given, "All logits are bit by bit the same.", "identical")
    pair = LogitPair(given.a, given.b, max(relative_tolerance(side.dtype, None) for side in (given.a, given.b)))
    raw = pair.residual(raw=True)
    law, excluded = _law(pair, raw, given.train_counts)
    proved = law or _moved(given, pair, raw) or _of_facts(telling, excluded) or _precision(given, raw, computing)
    if proved is not None:
        return proved
    if given.pairing.by == "order":
        excluded += ("The rows of B are not A's in another order.",)
    excluded += tuple(f"{fact.sentence} That explains no difference as large as this." for fact in computing)
    return _unknown((*excluded, *_alike(given)))


def _precision(given: CauseInput, raw: Residual, computing: Sequence[ManifestFact]) -> Cause | None:
    """Take arithmetic for the cause: within the files' types, or within the precisions that manifests state.

    A stated precision counts only where the manifests agree in everything else.
    """
    known = "".join(f" {fact.sentence}" for fact in computing)
    if raw.within:
        flips = int((given.a.argmax(axis=1) != given.b.argmax(axis=1)).sum())
        flipped = "one prediction flips" if flips == 1 else f"{flips or 'no'} predictions flip"
        sentence = f"The logits differ by at most {raw.largest:.2g}, as finite precision does; {flipped}."
        return _of_same(given, sentence + known, "precision", raw)
    stated = [None if manifest is None else preparation(manifest).get("precision") for manifest in given.manifests]
    allowed = max(
        relative_tolerance(side.dtype, precision) for side, precision in zip((given.a, given.b), stated, strict=True)
    )
    if not computing or not LogitPair(given.a, given.b, allowed).residual(raw=True).within:
        return None
    sentence = f"The logits differ by at most {raw.largest:.2g}, which such arithmetic explains.{known}"
    return Cause("precision", sentence, f"{raw.largest:.2g}", "manifests")


def _law(pair: LogitPair, raw: Residual, train_counts: Ints | None) -> tuple[Cause | None, tuple[str, ...]]:
    """Try the laws; return the one that holds, else what the others leave."""
    nothing = pair.residual()
    if nothing.explains(raw):
        sentence = (
            "B's logits are A's plus a constant for each row, as log-probabilities are of logits: all "
            f"probabilities are the same. Without it they differ by at most {nothing.largest:.2g}."
        )
        return Cause("row-constant", sentence, proof="numbers"), ()
    excluded = [f"Not only precision: the largest difference is {raw.largest:.3g}."] if not raw.within else []
    scale = pair.scale_fit()
    if scale is not None and scale > 0:
        rest = pair.residual(scale)
        if rest.explains(nothing):
            return _temperature(1 / scale, rest), ()
        excluded.append(f"Not a temperature: of A / {1 / scale:.4g}, the closest, up to {rest.largest:.3g} remains.")
    offsets = pair.class_offsets()
    if offsets is not None:
        rest = pair.residual(offsets=offsets)
        if rest.explains(nothing):
            typical = pair.tolerance * float(np.abs(pair.b).max())
            return _prior(offsets, prior_strength(offsets, train_counts, typical), rest), ()
        excluded.append(f"Not a constant for each class: with the closest, up to {rest.largest:.3g} remains.")
    return None, tuple(excluded)


def _temperature(divisor: float, rest: Residual) -> Cause:
    other = f" (A's are B's divided by {1 / divisor:.6g})" if divisor < 1 else ""
    sentence = f"B's logits are A's divided by {divisor:.6g}{other}; at most {rest.largest:.2g} remains."
    return Cause("temperature", sentence, f"{divisor:.6g}", "numbers")


def _prior(offsets: Floats, strength: float | None, rest: Residual) -> Cause:
    span = float(offsets.max() - offsets.min())
    what = "a constant for each class"
    value = None
    if strength is not None:
        what, value = f"{strength:.4g} times the logarithm of the train prior (logit adjustment)", f"{strength:.4g}"
    sentence = f"B's logits are A's plus {what}; the constants span {span:.3g}, at most {rest.largest:.2g} remains."
    return Cause("prior", sentence, value, "numbers")


def _moved(given: CauseInput, pair: LogitPair, raw: Residual) -> Cause | None:
    """Look for A's rows at other places of B."""
    if raw.within or given.pairing.by != "order":
        return None
    found = moved_rows(given.whole_a, given.whole_b, pair.tolerance)
    if found is None:
        return None
    moved, looked_at = found
    rows = "all rows" if looked_at == len(given.whole_a) else f"the {looked_at} rows that were looked for"
    sentence = (
        f"B holds A's rows in another order: {rows} of A are there, {moved} at another place. One of the files is "
        "not in the order of its list."
    )
    return Cause("permuted-rows", sentence, str(moved), "numbers")


def _of_facts(facts: Sequence[ManifestFact], excluded: tuple[str, ...]) -> Cause | None:
    """Take the first fact; the sentence has them all."""
    if not facts:
        return None
    sentence = " ".join(fact.sentence for fact in facts)
    return Cause(facts[0].kind, sentence, facts[0].value, "manifests", excluded)


def _of_same(given: CauseInput, sentence: str, kind: str, raw: Residual | None = None) -> Cause:
    """Name what is left where the logits are the same: nothing, or the lists."""
    pairing = given.pairing
    if pairing.by == "sample":
        left_out = pairing.left_out_a + pairing.left_out_b
        lists = (
            f"A has {pairing.left_out_a} rows that B does not have, and B {pairing.left_out_b} that A does not have"
            if left_out
            else "the lists have the same samples in another order"
        )
        return Cause("other-split", f"{sentence} What differs is the split: {lists}.", str(left_out), "numbers")
    if kind == "identical":
        return Cause("identical", sentence, proof="numbers")
    assert raw is not None
    return Cause("precision", sentence, f"{raw.largest:.2g}", "numbers")


def _alike(given: CauseInput) -> tuple[str, ...]:
    """Say what the manifests rule out."""
    without = [name for name, manifest in zip("AB", given.manifests, strict=True) if manifest is None]
    if without:
        return (f"Weights and normalisation could not be compared: {_without(without)}.",)
    first, second = (preparation(manifest) for manifest in given.manifests if manifest is not None)
    same = [text for name, text in STATED.items() if name in first and first[name] == second.get(name)]
    return (f"Both manifests state the same {', '.join(same)}.",) if same else ()


def _without(names: Sequence[str]) -> str:
    return f"{names[0]} has no manifest" if len(names) == 1 else f"neither {' nor '.join(names)} has a manifest"


def _unknown(excluded: tuple[str, ...]) -> Cause:
    return Cause("unknown", "No cause is proved.", excluded=excluded)
