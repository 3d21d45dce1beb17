"""The verified logits of a job, split by split, with the sample of each row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relogit.download import is_plain_name
from relogit.errors import IntegrityError, Refused
from relogit.job import Job, Logits
from relogit.sample_index import SampleIndex

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Artifact = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class SplitLogits:
    """The logits of all experts over one split; row n of each array is sample n."""

    split: str
    samples: SampleIndex
    targets: NDArray[np.int64]
    """[N] int64."""
    experts: Mapping[str, Logits]
    """By expert; `logits` is [N, C] float32."""

    @property
    def classes(self) -> int:
        """The number of classes, C."""
        return int(next(iter(self.experts.values())).logits.shape[1])


@dataclass(frozen=True)
class Source:
    """A job whose results are verified, with its artifacts by split."""

    job: Job
    artifacts: Mapping[str, Sequence[Artifact]]
    """Split → its artifacts, in the order of the job."""

    @classmethod
    def of(cls, job: Job) -> Source:
        """Take a job that succeeded and is verified.

        Raises:
            Refused: it is not, or has no logits.
            IntegrityError: a name of the server's would lead out of a folder.
        """
        verdict = job.data.get("verdict")
        if job.state != "succeeded" or verdict != "passed":
            judged = f", its verdict {verdict}" if verdict else ""
            raise Refused(
                f"Job {job.id} is {job.state}{judged}; only verified results are exported. "
                f"`relogit status {job.id}` shows more."
            )
        by_split: dict[str, list[Artifact]] = {}
        for artifact in job.artifacts():
            for name in (artifact["expert"], artifact["split"]):
                if not is_plain_name(name):
                    raise IntegrityError(f"The server names {name!r}, which is no plain name; nothing was written.")
            by_split.setdefault(artifact["split"], []).append(artifact)
        if not by_split:
            raise Refused(f"Job {job.id} has no logits to export.")
        return cls(job, by_split)

    @property
    def experts(self) -> list[str]:
        """The experts that have logits, in the order of the job."""
        named = (artifact["expert"] for artifacts in self.artifacts.values() for artifact in artifacts)
        return list(dict.fromkeys(named))

    def splits(self) -> Iterator[SplitLogits]:
        """Read one split after the other; each download is checked.

        Raises:
            StaleList: an index list is no longer the one that the job used.
            IntegrityError: a download is damaged, or results of one split contradict each other.
        """
        for split, artifacts in self.artifacts.items():
            yield self._read(split, artifacts)

    def describe(self) -> dict[str, Any]:
        """Describe the origin of the logits as JSON: job, files, checkpoints, lists and versions."""
        files = [_described(artifact) for artifacts in self.artifacts.values() for artifact in artifacts]
        return {"job": self.job.id, "kind": self.job.job_kind, "verdict": "passed", "sources": files}

    def _read(self, split: str, artifacts: Sequence[Artifact]) -> SplitLogits:
        import numpy as np  # here, because the import takes longer than most commands

        lists = {artifact["manifest"]["split"]["sha256"] for artifact in artifacts}
        if len(lists) != 1:
            raise IntegrityError(f"The results of {split!r} come from {len(lists)} different index lists.")
        samples = self.job.sample_index(artifacts[0])
        experts = {artifact["expert"]: self.job.read_artifact(artifact) for artifact in artifacts}
        targets = next(iter(experts.values())).targets
        for expert, arrays in experts.items():
            if arrays.logits.shape[:1] != samples.indices.shape or not np.array_equal(arrays.targets, targets):
                raise IntegrityError(f"The rows of {expert} / {split} are not those of the list or of other experts.")
        return SplitLogits(split, samples, targets, experts)


def _described(artifact: Artifact) -> dict[str, Any]:
    manifest = artifact["manifest"]
    checkpoint = manifest["checkpoint"]
    return {
        "expert": artifact["expert"],
        "split": artifact["split"],
        "path": artifact["path"],
        "sha256": artifact["sha256"],
        "checkpoint": {name: checkpoint.get(name) for name in ("file", "folder", "sha256")},
        "list": dict(manifest["split"]),
        "dataset": {name: manifest["dataset"].get(name) for name in ("name", "base", "sha256")},
        "calibration": manifest.get("calibration"),
        "precision": manifest.get("compute", {}).get("precision"),
        "versions": manifest["versions"],
    }
