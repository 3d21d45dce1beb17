"""The service's settings: environment variables with the prefix `RELOGIT_`, or the same names in `.env`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "RELOGIT_"


class Settings(BaseSettings):
    """Frozen settings, read once by each process's composition root and passed on from there.

    Relative folders are below the folder that the process was started in.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    data_dir: Path = Path("data")
    """Holds `datasets.toml`, the data sets and the folders of split files."""
    checkpoints_dir: Path = Path("checkpoints")
    """Holds the experts' checkpoint files, each data set's in the folder that `datasets.toml` names."""
    outputs_dir: Path = Path("outputs")
    """Where results go; `.relogit` below it holds the job store and everything internal."""
    host: str = "127.0.0.1"
    """Address the API listens on. There is no authentication: any other than loopback needs a proxy that has it."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port the API listens on; 0 takes a free one, which the log names."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """`auto` (CUDA when there, else CPU), `cpu`, `cuda` or `cuda:N`."""
    engine: Literal["auto", "torch", "openvino"] = "auto"
    """What computes on a CPU: `auto` takes OpenVINO where it is installed, else PyTorch. GPUs always use PyTorch."""
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Worker processes that `python -m app` keeps alive: `auto` is one for each GPU, else one; 0 is none."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """What the API and the worker write to standard error."""
    log_format: Literal["text", "json"] = "text"
    """Format of the log: lines for people, or a JSON object a line."""
    stop_timeout_s: Annotated[float, Field(gt=0, le=86400)] = 20.0
    """How long a stopping service waits for answers that are being sent, and for its workers to hand back their work
    before it kills them."""
    hang_timeout_s: Annotated[float, Field(ge=2, le=86400)] = 300.0
    """A worker without a heartbeat for so many seconds hangs: it is killed and replaced."""
    min_free_bytes: Annotated[int, Field(ge=0)] = 10**9
    """With less room on the disk of the outputs directory the service is not ready."""
    warm_start: str = ""
    """Experts that a worker loads at its start, separated by commas: `data_set/expert`, or `data_set/prefix/expert`
    for another prefix than `best_`. Until they are loaded the service is not ready."""
    keep_jobs_s: Annotated[float, Field(ge=0)] | None = None
    """Jobs that ended longer ago are deleted, with their own files; what lies under the outputs directory stays.
    `None`: kept until told otherwise."""
    keep_artifacts_bytes: None = None
    """Not supported any more: files are no longer limited by size. RELOGIT_KEEP_JOBS_S limits jobs by age."""
    keep_rows_s: Annotated[float, Field(ge=0)] | None = None
    """Kept rows that no job has used for so long are removed; `None`: kept until told otherwise."""
    keep_rows_bytes: Annotated[int, Field(ge=0)] | None = None
    """Once kept rows take more than so many bytes on disk, the longest unused are removed; `None`: never."""

    @property
    def internal_dir(self) -> Path:
        """`<outputs>/.relogit`: the store, the immutable artifacts and the workers' locks."""
        return self.outputs_dir / ".relogit"

    @property
    def store_path(self) -> Path:
        """The SQLite file of the job store."""
        return self.internal_dir / "jobs.sqlite3"

    @property
    def objects_dir(self) -> Path:
        """The jobs' own immutable artifacts, named by their sha256."""
        return self.internal_dir / "objects"

    @property
    def patches_dir(self) -> Path:
        """Statistics of pools, which normalisations are judged by."""
        return self.internal_dir / "patches"

    @property
    def rows_dir(self) -> Path:
        """The logit rows kept for reuse."""
        return self.internal_dir / "rows"

    @property
    def uploads_dir(self) -> Path:
        """Files of logits that clients sent to be verified."""
        return self.internal_dir / "uploads"

    @property
    def locks_dir(self) -> Path:
        """One locked file for each living worker."""
        return self.internal_dir / "workers"


def as_environment(settings: Settings) -> dict[str, str]:
    """Return the settings as environment variables for a child process.

    A setting that is None is an empty variable.
    """
    fields = settings.model_dump().items()
    return {f"{PREFIX}{name.upper()}": "" if value is None else str(value) for name, value in fields}


def explain(error: ValidationError) -> str:
    """Explain each wrong setting in a line with its purpose."""
    wrong = {str(item["loc"][0]): item["input"] for item in error.errors()}
    return "\n".join(
        f"{PREFIX}{name.upper()} cannot be {value!r}. {Settings.model_fields[name].description}"
        for name, value in wrong.items()
    )
