"""Recompute rows of a file of logits: find the checkpoint, load it, compute a spread sample plainly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.catalog.checkpoints import check_classes
from app.catalog.datasets import Dataset, Transform
from app.catalog.split_lists import Split
from app.domain.checks import Check, skipped
from app.domain.errors import JobError, RequestError
from app.domain.names import check_folder, check_name
from app.domain.requests import LogitFile, VerificationRequest
from worker.compute.plain_forward import MAX_BATCH, plain_logits
from worker.context import Context
from worker.experts.loading import Assumptions, Expert, load_expert
from worker.verify.manifest_checks import checkpoint_of, plain_entry
from worker.verify.provenance import preparation
from worker.verify.sample import CHECK_ID, Sample, check_recomputed_sample, spread_images

Digest = Callable[[Path], str | None]
"""sha256 of a file in hex; None where it cannot be read."""


class Resampler:
    """Recomputes `request.recompute` rows of each result. Lives as long as a verification; holds one expert.

    `check_point` is called before each batch, and raises where the work is to stop.
    """

    def __init__(
        self,
        request: VerificationRequest,
        dataset: Dataset,
        context: Context,
        check_point: Callable[[], None],
        digest: Digest,
    ) -> None:
        self._request, self._dataset, self._context = request, dataset, context
        self._check_point, self._digest = check_point, digest
        self._loaded: tuple[tuple[Path, str | None, Assumptions], Expert] | None = None

    def check(
        self, file: LogitFile, logits: NDArray[Any] | None, split: Split, manifest: Mapping[str, Any] | None
    ) -> Check:
        """Compare a file's rows with those of its checkpoint.

        `logits` are the file's, of any shape and dtype. Where no row can be computed, the check is skipped.

        Raises:
            TransientError: memory or disk failed, not the checkpoint.
        """
        rows, classes = split.indices.size, self._context.catalog.bases.classes(self._dataset)
        if logits is None or logits.shape != (rows, classes) or logits.dtype.kind != "f":
            reason = f"The file has no logits of {rows} rows and {classes} classes to compare with."
            return skipped(CHECK_ID, "error", reason)
        try:
            sample = self._sample(file, split, manifest)
        except (JobError, RequestError) as error:
            return skipped(CHECK_ID, "error", f"No row could be recomputed. {error.message}")
        stated = None if manifest is None else preparation(manifest)
        return check_recomputed_sample(logits[sample.rows], sample, stated)

    def _sample(self, file: LogitFile, split: Split, manifest: Mapping[str, Any] | None) -> Sample:
        path = self._checkpoint(file, manifest)
        weights = None if manifest is None else plain_entry(manifest, "checkpoint", "weights")
        transform = self._dataset.transform(path.stem)
        expert = self._load(path, Assumptions(**self._dataset.assumptions(path.stem, weights)))
        classes = self._context.catalog.bases.classes(self._dataset)
        check_classes(path.name, expert.passport.classes, self._request.dataset, classes)
        pool = self._context.pools.get(self._dataset, split.base)
        images = np.unique(spread_images(split.indices, self._request.recompute))  # [m] ascending
        parts = []
        for start in range(0, images.size, MAX_BATCH):
            self._check_point()
            parts.append(self._forward(expert, pool.images[images[start : start + MAX_BATCH]], transform))
        computed = np.concatenate(parts)  # [m, C]
        if not np.isfinite(computed).all():
            raise JobError("non-finite-logits", f"{path.name} gives NaN or infinity for images of {split.name!r}.")
        rows = np.flatnonzero(np.isin(split.indices, images))  # repeats of an image cost nothing more
        of_rows = split.indices[rows]
        return Sample(
            rows=rows,
            images=of_rows,
            logits=computed[np.searchsorted(images, of_rows)],
            computed=images.size,
            distinct=np.unique(split.indices).size,
            checkpoint=path.name,
            sha256=expert.passport.sha256,
            temperature=expert.passport.temperature,
            transform={"mean": list(transform.mean), "std": list(transform.std)},
        )

    def _forward(self, expert: Expert, images: NDArray[np.uint8], transform: Transform) -> NDArray[np.float32]:
        try:
            return plain_logits(expert.network, images, transform)
        except RuntimeError as error:  # images that are too small for the network, say
            why = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise JobError("forward-failed", f"{expert.passport.file} cannot process these images: {why}.") from error

    def _checkpoint(self, file: LogitFile, manifest: Mapping[str, Any] | None) -> Path:
        """Find the checkpoint by manifest, else by the expert's name."""
        sha256 = None if manifest is None else plain_entry(manifest, "checkpoint", "sha256")
        if manifest is None or sha256 is None:
            return self._by_name(file)
        paths = []
        if named := checkpoint_path(self._context.settings.checkpoints_dir, manifest):
            paths.append(named)
        try:
            paths.append(self._by_name(file))
        except RequestError:
            if not paths:
                raise
        for path in paths:
            if self._digest(path) == sha256:
                return path
        raise RequestError(
            "checkpoint-missing",
            f"The checkpoint of the manifest, with sha256 {sha256}, is not there; looked at: "
            f"{', '.join(dict.fromkeys(path.name for path in paths))}.",
        )

    def _by_name(self, file: LogitFile) -> Path:
        folder = self._context.catalog.experts_at(self._request.experts_dir or self._dataset.experts)
        return self._context.catalog.checkpoint(folder, self._request.checkpoint_prefix, file.expert)

    def _load(self, path: Path, assumptions: Assumptions) -> Expert:
        key = (path, self._digest(path), assumptions)
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None  # its memory goes before the next one takes its own
            self._loaded = (key, load_expert(path, assumptions))
        return self._loaded[1]


def checkpoint_path(checkpoints_dir: Path, manifest: Mapping[str, Any]) -> Path | None:
    """Return the path of a manifest's checkpoint.

    It is None if the manifest names none in the checkpoint directory.
    """
    if (named := checkpoint_of(manifest)) is None:
        return None
    try:
        return checkpoints_dir / check_folder("folder", named[0]) / check_name("checkpoint", named[1])
    except RequestError:
        return None
