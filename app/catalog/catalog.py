"""The user's data sets, checkpoints and splits on disk. Names were checked by `app.domain.names`."""

from __future__ import annotations

from app.catalog.checkpoints import ExpertFiles
from app.catalog.datasets import Dataset, read_datasets
from app.catalog.folders import listed
from app.catalog.split_lists import SplitLists
from app.domain.errors import RequestError


class Catalog(ExpertFiles, SplitLists):
    """Read-only view of the data and checkpoint directories. Lives as long as its process."""

    def datasets(self) -> dict[str, Dataset]:
        """Read every declared data set, as `datasets.toml` stands now."""
        return read_datasets(self.settings.data_dir)

    def dataset(self, name: str) -> Dataset:
        """Read one declared data set.

        Raises:
            RequestError: `unknown-dataset`, listing those that there are.
        """
        declared = self.datasets()
        if name not in declared:
            raise RequestError(
                "unknown-dataset", f"There is no data set {name!r}.{listed(declared)}", available=sorted(declared)
            )
        return declared[name]
