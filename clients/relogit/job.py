"""Jobs: what one may ask for, and the handle of one."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict

from relogit.download import Saved, fetch, save, save_with_index
from relogit.errors import Missing
from relogit.frames import FrameRows, data_frame
from relogit.notebook import units_html
from relogit.sample_index import SampleIndex, read_sample_index
from relogit.work import Work

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

JobKind = Literal["recompute", "verification", "splits", "gating", "rejector", "evaluation", "comparison", "run"]
AUDIT_S = 3.0  # seconds for which a verification may wait for the audit of its splits


class JobRequest(TypedDict, total=False):
    """The options of a job; the server has defaults for those missing.

    Attributes:
        dataset: a name in the server's `datasets.toml`.
        experts: names without prefix; by default all that exist under the prefix.
        checkpoint_prefix: what precedes the expert in its file name, such as `best_`; may be empty.
        splits: names of index files, without `_indices.json`.
        batch_size: an upper bound in images, or "auto".
        output_dir: folder below the server's outputs.
        splits_dir: folder below the server's data.
        experts_dir: folder below the server's checkpoints.
        calibration: "none" for raw logits, "checkpoint" to divide by the stored temperature.
        precision: of the network's computation; "fp32" is exact, the others need a worker that offers them.
        reuse: whether the job takes rows of earlier jobs; False computes all again and compares.
        weights: which set of weights to take from files that hold several, such as "state_dict_ema".
        head_threshold: train samples; a class with more is head, any other is tail.
        floors: fractions by the accuracy's name; a result below one gets a warning.
        deadline_s: seconds until the server stops the job as failed.
    """

    dataset: str | None
    experts: Sequence[str] | None
    checkpoint_prefix: str | None
    splits: Sequence[str] | None
    batch_size: int | Literal["auto"] | None
    output_dir: str | None
    splits_dir: str | None
    experts_dir: str | None
    calibration: Literal["none", "checkpoint"] | None
    precision: Literal["fp32", "tf32", "bf16", "fp16"] | None
    reuse: bool | None
    weights: str | None
    head_threshold: int | None
    floors: Mapping[str, float] | None
    deadline_s: float | None


class Logits(NamedTuple):
    """The logits of one expert over one split.

    Row n belongs to entry n of the split's index file.

    Attributes:
        logits: [N, C] float32, before softmax; divided by the temperature only if the job asked for it.
        targets: [N] int64, the data set's labels.
        predictions: [N] int64, the argmax of `logits`.
    """

    logits: NDArray[np.float32]
    targets: NDArray[np.int64]
    predictions: NDArray[np.int64]


class Job(Work):
    """A job of any kind, with its last known state."""

    @property
    def verifies_files(self) -> bool:
        """Whether it verifies files; `Client.verification` then has its results."""
        return self.job_kind == "verification"

    @property
    def job_kind(self) -> str:
        """What it does: the name of its kind, such as `recompute`."""
        return str(self.data["kind"])

    def verification(self, *, wait_s: float = AUDIT_S) -> dict[str, Any]:
        """Get the verdict, every check and each result's figures.

        Example:
            report = job.verification()
            failed = [c for r in report["results"] for c in r["checks"] if c["verdict"] == "failed"]

        Args:
            wait_s: seconds for which the server may audit the splits before it answers without their warnings.
        """
        return self._wire.get(f"{self._job_path}/verification", params={"wait": wait_s}, hold_s=wait_s)

    def artifacts(self) -> list[dict[str, Any]]:
        """List the artifacts written so far, with digests and manifests."""
        return self._wire.get_list(f"{self._job_path}/artifacts", "artifacts")

    def logits(self, expert: str, split: str) -> Logits:
        """Fetch an artifact's arrays and check its sha256.

        Example:
            logits, targets, predictions = job.logits("ce_baseline", "val")

        Raises:
            Missing: the job has no such artifact, or not yet; the message names those it has.
            IntegrityError: the download was damaged.
        """
        artifacts = {(artifact["expert"], artifact["split"]): artifact for artifact in self.artifacts()}
        if (expert, split) not in artifacts:
            available = ", ".join(f"{name} / {part}" for name, part in sorted(artifacts)) or "none yet"
            raise Missing(f"Job {self.id} has no logits for {expert} / {split}. It has: {available}.")
        return self.read_artifact(artifacts[expert, split])

    def read_artifact(self, artifact: Mapping[str, Any]) -> Logits:
        """Fetch the arrays of one entry of `artifacts()`.

        Raises:
            IntegrityError: the download was damaged.
        """
        import numpy as np  # here, because the import takes longer than most commands

        body = io.BytesIO()
        fetch(self._wire, self.id, artifact, body)
        body.seek(0)
        with np.load(body, allow_pickle=False) as arrays:
            return Logits(arrays["logits"], arrays["targets"], arrays["predictions"])

    def sample_index(self, artifact: Mapping[str, Any]) -> SampleIndex:
        """Get the samples of an artifact's rows, from the server's list.

        Raises:
            StaleList: the list is not the one that the job used, or is gone.
        """
        return read_sample_index(self._wire, artifact["manifest"])

    def to_dataframe(self, split: str | None = None) -> pd.DataFrame:
        """Get one row for each expert, split and sample, as a pandas frame.

        Example:
            frame = job.to_dataframe("val")
            frame.groupby("expert")["correct"].mean()

        Its columns are `expert`, `split` and `base` (categories), `sample_index`, `label` and `prediction` (int64),
        `correct` (bool), `confidence` and `margin`: the largest probability, and what it exceeds the second by
        (float64). Rows stand in the order of the index list. Whether the results passed their checks tells `verdict`
        in `data`.

        Args:
            split: only this one; all by default.

        Raises:
            Missing: the job has no logits of this split, or not yet.
            StaleList: an index list is no longer the one that the job used.
            MissingExtra: pandas is not installed.
        """
        listed = self.artifacts()
        artifacts = [artifact for artifact in listed if split in (None, artifact["split"])]
        if not artifacts:
            available = ", ".join(dict.fromkeys(artifact["split"] for artifact in listed)) or "none yet"
            raise Missing(f"Job {self.id} has no logits of {split or 'any split'}. Its splits: {available}.")
        lists = {artifact["split"]: artifact for artifact in artifacts}
        samples = {name: self.sample_index(artifact) for name, artifact in lists.items()}
        return data_frame(
            FrameRows(
                artifact["expert"], artifact["split"], samples[artifact["split"]], *self.read_artifact(artifact)
            )
            for artifact in artifacts
        )

    def _repr_html_(self) -> str:
        return units_html(self.data)

    def download(self, folder: str | Path = ".", *, with_index: bool = False) -> list[Saved]:
        """Download all artifacts to `<folder>/<output_dir>/<expert>/<split>_logits.npz`, with manifests.

        Example:
            paths = [saved.path for saved in job.download("outputs")]

        Files appear whole or not at all; those that exist with the right sha256 are not fetched again.

        Args:
            folder: on this machine.
            with_index: whether the local files also get `sample_index` int64 [N] and `base`, the samples of the rows.
                They are fetched again each time.

        Returns:
            One entry for each artifact that the job has at this moment.

        Raises:
            IntegrityError: a download was damaged; the files before it are in place.
            StaleList: with `with_index`, a list is not the one that the job used; nothing was written.
            OSError: the folder cannot be written.
        """
        artifacts = self.artifacts()
        if not with_index:
            return [save(self._wire, self.id, artifact, Path(folder)) for artifact in artifacts]
        # All lists are read before the first file is written.
        lists = {artifact["split"]: artifact for artifact in artifacts}
        samples = {split: self.sample_index(artifact) for split, artifact in lists.items()}
        return [
            save_with_index(self._wire, self.id, artifact, Path(folder), samples[artifact["split"]])
            for artifact in artifacts
        ]
