"""Check a request to compare logits against the jobs that it names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from app.catalog.catalog import Catalog
from app.catalog.datasets import read_declaration
from app.catalog.folders import listed
from app.catalog.split_lists import Split
from app.domain.combine_requests import InputList
from app.domain.compare_requests import ComparedSide, ComparisonRequest
from app.domain.errors import RequestError
from app.domain.names import check_name
from app.domain.revisions import COMPARING, code_digest
from app.store.jobs import JobStore
from app.submission.compared_logits import ComparedLogits, compared_logits
from app.submission.comparison_bodies import ComparisonBody, SideBody
from app.submission.expert_pairs import Expert, expert_pairs, labels_of
from app.submission.gating import counts_sha256
from app.submission.logit_inputs import VerifiedFile
from app.submission.problems import Problems

MAX_COMPARED = 66
"""Pairs, counted on each split: all pairs of twelve experts on one split."""

ID_SHOWN, DIGEST_SHOWN, NAME_SHOWN = 8, 8, 40
"""Of a job's id in labels; of the identity and of an expert's name in the name of a folder."""

Pair = tuple[Expert, Expert]


@dataclass(frozen=True, slots=True)
class _Compared:
    """The jobs of a request by id, and the pairs of their experts."""

    jobs: Mapping[str, ComparedLogits]
    pairs: Sequence[Pair]

    def splits_of(self, pair: Pair) -> tuple[str, ...]:
        """List the splits that both experts have, in the order of A's job."""
        (job_a, a), (job_b, b) = pair
        others = self.jobs[job_b].logits.splits([b])
        return tuple(split for split in self.jobs[job_a].logits.splits([a]) if split in others)


def plan_comparison(body: ComparisonBody, catalog: Catalog, jobs: JobStore) -> ComparisonRequest:
    """Check and complete a request for a comparison.

    Raises:
        Refused: with a problem for each wrong item.
    """
    problems = Problems()
    compared = _compared(body, jobs, problems)
    if compared is None:
        raise problems.refusal()
    splits = problems.guard("splits", lambda: _splits(body, compared))
    problems.guard("name", lambda: None if body.name is None else check_name("name", body.name))
    problems.guard("output_dir", lambda: check_name("output_dir", body.output_dir))
    if splits is None:
        raise problems.refusal()
    labels = labels_of([expert for pair in compared.pairs for expert in pair], ID_SHOWN)
    sides = []
    for (job_id, expert), label in labels.items():
        where = "a" if job_id == body.a.job or body.b is None else "b"
        own = partial(_side, label, expert, compared.jobs[job_id], splits, catalog)
        sides.append(problems.guard(where, own))
    known = [side for side in sides if side is not None]
    by_label = {side.label: side for side in known}
    pairs = tuple((labels[a], labels[b]) for a, b in compared.pairs)
    if len(known) == len(sides):
        for a, b in pairs:
            problems.guard("b" if body.b else "a", partial(_check_samples, by_label[a], by_label[b]))
    if problems.errors:
        raise problems.refusal()
    return _request(body, known, pairs, splits, compared, catalog)


def _request(
    body: ComparisonBody,
    sides: Sequence[ComparedSide],
    pairs: Sequence[tuple[str, str]],
    splits: Sequence[str],
    compared: _Compared,
    catalog: Catalog,
) -> ComparisonRequest:
    """Complete a request that nothing is wrong with."""
    first = sides[0]
    request = ComparisonRequest(
        dataset=first.dataset,
        splits_dir=first.splits_dir,
        name="",
        output_dir=body.output_dir,
        sides=tuple(sides),
        pairs=tuple(pairs),
        splits=tuple(splits),
        head_threshold=compared.jobs[first.logits.job].logits.request.standards.head_threshold,
        declaration=first.declaration,
        counts_sha256=_counts_sha256(first, catalog),
    )
    identity = _identity(request)
    return replace(request, name=body.name or folder_name(pairs, identity), identity=identity)


def _compared(body: ComparisonBody, jobs: JobStore, problems: Problems) -> _Compared | None:
    """Look up the jobs and pair their experts."""
    read: dict[str, ComparedLogits] = {}
    for where, side in (("a", body.a), ("b", body.b)):
        if side is not None and side.job not in read:
            logits = problems.guard(f"{where}/job", partial(_read_job, side.job, jobs))
            if logits is not None:
                read[side.job] = logits
    for where, side in (("a", body.a), ("b", body.b)):
        if side is not None and side.job in read:
            problems.guard(f"{where}/expert", partial(_check_expert, side, read[side.job]))
    if problems.errors:
        return None
    experts = {job_id: logits.logits.experts for job_id, logits in read.items()}
    a, b = (None if side is None else (side.job, side.expert) for side in (body.a, body.b))
    assert a is not None
    pairs = problems.guard("b" if b else "a", lambda: expert_pairs(a, b, experts))
    return None if pairs is None else _Compared(read, pairs)


def _read_job(job_id: str, jobs: JobStore) -> ComparedLogits:
    return compared_logits(jobs.get(job_id))


def _check_expert(side: SideBody, logits: ComparedLogits) -> None:
    known = logits.logits.experts
    if side.expert is not None and side.expert not in known:
        raise RequestError(
            "expert-without-logits",
            f"Job {side.job} has no logits of {side.expert!r} that can be compared.{listed(known, 'It has')}",
            available=sorted(known),
        )


def _splits(body: ComparisonBody, compared: _Compared) -> tuple[str, ...]:
    """Return the splits to compare on, each of which some pair shares."""
    of_pairs = {pair: compared.splits_of(pair) for pair in compared.pairs}
    shared = tuple(dict.fromkeys(split for splits in of_pairs.values() for split in splits))
    wanted = shared if body.splits is None else tuple(dict.fromkeys(body.splits))
    missing = [split for split in wanted if split not in shared]
    if missing:
        raise RequestError(
            "split-without-logits",
            f"No two compared experts both have logits for {', '.join(map(repr, missing))}."
            f"{listed(shared, 'They share')}",
            available=sorted(shared),
        )
    if not wanted:
        raise RequestError("no-shared-split", _nothing_shared(compared))
    number = sum(split in wanted for splits in of_pairs.values() for split in splits)
    if number > MAX_COMPARED:
        raise RequestError(
            "too-many-pairs",
            f"{len(compared.pairs)} pairs on {len(wanted)} splits are {number} comparisons; {MAX_COMPARED} are the "
            "most. Name fewer splits, or one expert of each job.",
        )
    return wanted


def _nothing_shared(compared: _Compared) -> str:
    a, b = compared.pairs[0]
    have = [f"{name} of job {job} has {', '.join(compared.jobs[job].logits.splits([name]))}" for job, name in (a, b)]
    return f"The compared experts share no split: {'; '.join(have)}. Only logits of the same samples can be paired."


def _side(label: str, expert: str, compared: ComparedLogits, splits: Sequence[str], catalog: Catalog) -> ComparedSide:
    """Gather one expert's files and lists.

    Raises:
        RequestError: `split-changed`, a list is not the one that the logits are of; what `read_split` raises.
    """
    source = compared.logits
    own = [split for split in source.splits([expert]) if split in splits]
    own.sort(key=list(splits).index)
    dataset = read_declaration(source.request.declaration)
    folder = catalog.splits_folder(dataset, source.request.splits_dir)
    lists = []
    for name in own:
        split = catalog.read_split(dataset, folder, name)
        _check_list(split, source.files[expert, name], source.job.id)
        lists.append(InputList(name, split.base, split.sha256, split.indices.size))
    return ComparedSide(
        label=label,
        expert=expert,
        dataset=source.request.dataset,
        splits_dir=source.request.splits_dir,
        logits=source.input([expert], own),
        lists=tuple(lists),
        declaration=source.request.declaration,
        doubts=compared.doubts_of(expert, own),
    )


def _check_list(split: Split, verified: VerifiedFile, job_id: str) -> None:
    if (split.base, split.sha256) != (verified.base, verified.split_sha256):
        raise RequestError(
            "split-changed",
            f"The index list of {split.name!r} is not the one that the logits of job {job_id} were verified "
            "with, so nobody can tell which samples the rows are. Recompute the logits, verify them again, or name "
            "other splits.",
        )


def _check_samples(a: ComparedSide, b: ComparedSide) -> None:
    """Check that equal indices of a split mean equal samples.

    Raises:
        RequestError: `data-sets-differ` or `bases-differ`.
    """
    if _images(a) != _images(b):
        raise RequestError(
            "data-sets-differ",
            f"{a.label} is of the data set {a.dataset!r} and {b.label} of {b.dataset!r}, whose images lie elsewhere: "
            "their samples are not the same. Compare logits of one data set.",
        )
    for split in a.splits:
        if split in b.splits and a.list_of(split).base != b.list_of(split).base:
            raise RequestError(
                "bases-differ",
                f"The list {split!r} points into the base {a.list_of(split).base!r} for {a.label} and into "
                f"{b.list_of(split).base!r} for {b.label}, so that their samples are not the same. Compare logits of "
                "lists into one base, or name other splits.",
            )


def _images(side: ComparedSide) -> tuple[str, str]:
    """Return what tells one pool of images from another: kind and folder."""
    dataset = read_declaration(side.declaration)
    return dataset.kind, dataset.root


def _counts_sha256(side: ComparedSide, catalog: Catalog) -> str | None:
    """Hash the file that the train counts come from; None where there is none, so that there are no groups."""
    try:
        return counts_sha256(catalog.splits_folder(read_declaration(side.declaration), side.splits_dir), catalog)
    except RequestError:
        return None


def folder_name(pairs: Sequence[tuple[str, str]], identity: str) -> str:
    """Name the folder so that no two different comparisons share it: their pages read its files."""
    first, second = (label.replace(":", "=")[:NAME_SHOWN].rstrip() for label in pairs[0])
    name = f"{first}-{second}" if len(pairs) == 1 else f"{len(pairs)}-pairs"
    return f"{name}-{identity[:DIGEST_SHOWN]}"


def _identity(request: ComparisonRequest) -> str:
    """Hash what decides the result: the files and lists, not the jobs that they were taken from; and the code."""
    values: dict[str, Any] = request.to_dict()
    for side in values["sides"]:
        files = side["logits"]["files"]
        side["logits"] = [[file["expert"], file["split"], file["sha256"]] for file in files]
    text = json.dumps([values, code_digest(COMPARING)], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
