"""`data/datasets.toml`: the data sets as their owner declares them."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    StrictBool,
    ValidationError,
    model_validator,
)

from app.domain.errors import RequestError
from app.domain.names import check_folder, check_name

FILE_NAME = "datasets.toml"
DEFAULT_BASE = "test"
DEFAULT_DATASET = "cifar100_lt_if100"
"""For requests that name no data set."""


def _by(check: Callable[[str, str], str], what: str) -> AfterValidator:
    def validate(value: str) -> str:
        try:
            return check(what, value)
        except RequestError as error:
            raise ValueError(error.message) from error

    return AfterValidator(validate)


Folder = Annotated[str, _by(check_folder, "folder")]
BaseName = Annotated[str, _by(check_name, "base")]
# Strict: neither true nor "0.5" is a number.
Channel = Annotated[float, Strict()]
Deviation = Annotated[float, Strict(), Field(gt=0)]
Channels = tuple[Channel, Channel, Channel]
Deviations = tuple[Deviation, Deviation, Deviation]
Count = Annotated[int, Strict(), Field(gt=0)]
Stride = Annotated[int, Strict(), Field(ge=1, le=2)]


class _Table(BaseModel):
    # allow_inf_nan would let NaN through into every logit.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Transform(_Table):
    """What happens to a pixel before the network: (value / 255 - mean) / std, for each of R, G, B."""

    mean: Channels
    std: Deviations


class Network(_Table):
    """What a network's tensors cannot tell; None where it is not declared."""

    option_a_padding: Literal["symmetric", "end"] | None = None
    """Where a parameter-free shortcut puts its zero channels: half on each side, or all behind."""
    max_pool: StrictBool | None = None
    """Whether a torchvision ResNet's stem ends in its 3x3 max-pool."""
    stem_stride: Stride | None = None
    """Stride of a torchvision ResNet's first convolution."""
    stage_strides: Annotated[tuple[Stride, ...], Field(min_length=3, max_length=4)] | None = None
    """Stride of the first block of each stage: three for CIFAR ResNets, four for torchvision's."""
    batch_norm_eps: Annotated[float, Strict(), Field(gt=0, le=1)] | None = None
    """What every batch norm adds to its running variance."""
    bottleneck_stride: Literal["conv1", "conv2"] | None = None
    """Which convolution of a bottleneck block has the stride: the 3x3 (`conv2`), or the 1x1 before it (`conv1`)."""


class Override(Network):
    """What differs for one expert, and what its file cannot tell."""

    mean: Channels | None = None
    std: Deviations | None = None
    weights: Annotated[str, Field(min_length=1)] | None = None
    """Which set of weights of the file is the expert's: its path with dots, `.` for the file's top."""
    normalisation_acknowledged: StrictBool = False
    """Whether the owner takes mean, std and RGB although the checkpoint contradicts them."""

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together: give both or neither")
        return self


class Dataset(_Table):
    """One data set: where its images, splits and experts lie, and how its pixels are normalised."""

    kind: Literal["cifar10", "cifar100", "npz", "imagefolder"]
    root: Folder
    """Below the data directory."""
    splits: Folder
    """Below the data directory."""
    experts: Folder
    """Below the checkpoint directory."""
    mean: Channels
    std: Deviations
    classes: Count | None = None
    """For `npz`, where the labels that are there do not show all classes."""
    resize: Count | None = None
    """For `imagefolder`: the shorter side, in pixels, before the crop."""
    crop: Count | None = None
    """For `imagefolder`: side of the central square."""
    bases: dict[str, BaseName] = {}
    """Split → where its indices point; `test` for those not named."""
    network: Network = Network()
    """What the tensors of its experts cannot tell."""
    overrides: dict[str, Override] = {}
    """Checkpoint file, by its name without the suffix (`*`, `?`: any characters) → what is different for it."""

    @model_validator(mode="after")
    def _options_fit_kind(self) -> Self:
        if self.classes is not None and self.kind != "npz":
            raise ValueError(f"classes is for kind npz; {self.kind} knows its own")
        if (self.resize is not None or self.crop is not None) and self.kind != "imagefolder":
            raise ValueError(f"resize and crop are for kind imagefolder, not {self.kind}")
        return self

    def base_of(self, split: str) -> str:
        """Return the base that the split's indices point into."""
        return self.bases.get(split, DEFAULT_BASE)

    def base_names(self) -> tuple[str, ...]:
        """List the declared bases and the default one."""
        return tuple(sorted({DEFAULT_BASE, *self.bases.values()}))

    def override(self, stem: str) -> Override:
        """Return the declarations for a checkpoint, such as `best_ce`.

        A pattern that matches the file fills in what an entry of its full name leaves out.

        Raises:
            RequestError: `override-ambiguous`, two patterns match the file.
        """
        own = self.overrides.get(stem, Override())
        keys = [key for key in self.overrides if key != stem and _matches(stem, key)]
        if len(keys) > 1:
            raise RequestError(
                "override-ambiguous",
                f"The overrides {' and '.join(map(repr, sorted(keys)))} in {FILE_NAME} both match the checkpoint "
                f"{stem!r}. Let one of them match it.",
            )
        shared = self.overrides[keys[0]] if keys else Override()
        return shared.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})

    def assumptions(self, stem: str, weights: str | None = None) -> dict[str, Any]:
        """Merge a checkpoint's declarations with those for all experts.

        By name, None for what is not declared. `shared` lists the keys that come from `[X.network]`: a network to
        which one does not apply ignores it. `weights` is the set that a request asks for; None for the declared one.

        Raises:
            RequestError: `override-ambiguous`.
        """
        override = self.override(stem)
        own = {name: getattr(override, name) for name in Network.model_fields}
        common = {name: getattr(self.network, name) for name, value in own.items() if value is None}
        shared = tuple(name for name, value in common.items() if value is not None)
        return {**own, **common, "weights": weights or override.weights, "shared": shared}

    def transform(self, stem: str) -> Transform:
        """Return a checkpoint's normalisation, or else the data set's.

        Raises:
            RequestError: `override-ambiguous`.
        """
        own = self.override(stem)
        return Transform(mean=own.mean or self.mean, std=own.std or self.std)

    def unused_overrides(self, stems: Collection[str]) -> list[str]:
        """Return the overrides that match no checkpoint, sorted."""
        return sorted(key for key in self.overrides if not any(_matches(stem, key) for stem in stems))

    def check_override(self, stem: str, expert: str) -> None:
        """Refuse an override named after the expert, not its file.

        Raises:
            RequestError: `override-unmatched`; `override-ambiguous`.
        """
        self.override(stem)
        if expert in self.overrides and not any(_matches(stem, key) for key in self.overrides):
            raise RequestError(
                "override-unmatched",
                f"The override {expert!r} in {FILE_NAME} does not match the checkpoint {stem!r}: overrides are named "
                f"after the file, with the prefix. Rename it to {stem!r}, or to '*{expert}' for every prefix.",
            )


def read_declaration(data: Mapping[str, Any]) -> Dataset:
    """Read the data set that a job recorded.

    Raises:
        RequestError: `declaration-unreadable`, another version of relogit wrote it.
    """
    try:
        return Dataset.model_validate(data)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, item["loc"])) for item in error.errors())
        raise RequestError(
            "declaration-unreadable",
            f"The job's data set was declared in a form that this version of relogit cannot read ({fields}). "
            "Submit the job again.",
        ) from error


def override_table(dataset: str, stem: str) -> str:
    """Return the datasets.toml heading of a checkpoint's override."""
    return f"[{toml_key(dataset)}.overrides.{toml_key(stem)}]"


def toml_key(name: str) -> str:
    """Write a TOML key, quoted if necessary."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _matches(stem: str, key: str) -> bool:
    return stem == key or fnmatchcase(stem, key.replace("[", "[[]"))  # only * and ? stand for others


def read_datasets(data_dir: Path) -> dict[str, Dataset]:
    """Read every data set declared in `<data_dir>/datasets.toml`.

    Raises:
        RequestError: `data-dir-missing`, `datasets-file-missing`, or `datasets-file-invalid`, naming each
            wrong key.
    """
    path = data_dir / FILE_NAME
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin with a mark
    except (FileNotFoundError, NotADirectoryError):
        if not data_dir.is_dir():
            raise RequestError(
                "data-dir-missing",
                f"The data directory {data_dir} is not there. Create it with a {FILE_NAME} in it, or point "
                "RELOGIT_DATA_DIR at the right one and restart the service.",
            ) from None
        raise RequestError(
            "datasets-file-missing",
            f"{path} is not there. It declares the data sets; the project's own data/{FILE_NAME} shows how.",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise RequestError("datasets-file-invalid", f"{path} cannot be read as TOML: {error}.") from error
    declared: dict[str, Dataset] = {}
    wrong: list[str] = []
    for name, table in document.items():
        try:
            if not isinstance(table, dict):
                raise RequestError("invalid-name", f"{name}: a table [{name}] is expected.")
            declared[check_name("data set", name)] = Dataset.model_validate(table)
        except RequestError as error:
            wrong.append(error.message)
        except ValidationError as error:
            wrong += [
                f"{'.'.join([name, *map(str, item['loc'])])}: {item['msg'].removeprefix('Value error, ')}."
                for item in error.errors()
            ]
    if wrong:
        # The whole file is refused, even for another data set: a file with one mistake may hold others.
        raise RequestError("datasets-file-invalid", f"{path} is wrong. {' '.join(wrong)}")
    return declared
