"""Path and query parameters that several routes take."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

MAX_WAIT_S = 60.0
"""Longest time that a request may be held; a longer `wait` is shortened to it."""

JobId = Annotated[str, Path(description="As the answer to its submission says.")]
SetName = Annotated[str, Path(description="Of the folder, below the data directory.")]
DatasetName = Annotated[str, Query(description="A data set of `datasets.toml`.")]
Wait = Annotated[float, Query(ge=0, description="Seconds to hold the answer until something changes.")]
