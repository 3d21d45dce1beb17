"""From a request to create splits to a job that can be queued, or to every single thing that is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass

from app.catalog.catalog import Catalog
from app.catalog.datasets import DEFAULT_BASE, Dataset
from app.catalog.split_lists import TRAIN_SPLIT
from app.catalog.split_sets import free_name
from app.domain.errors import RequestError
from app.domain.requests import Profile, SplitsRequest
from app.submission.recompute import Problems


@dataclass(frozen=True, slots=True)
class SplitsOrder:
    """A request as it came."""

    name: str
    dataset: str
    profile: Profile
    imbalance_factor: float
    seed: int
    test_shares: tuple[int, int, int]
    expert_share: float | None
    overwrite: bool


def plan_splits(order: SplitsOrder, catalog: Catalog) -> SplitsRequest:
    """Check a request against what is on disk.

    Raises:
        Conflict: the name is taken.
        Refused: with a problem for each wrong item.
    """
    problems = Problems()
    name = problems.guard("name", lambda: free_name(order.name, catalog.settings.data_dir, order.overwrite))
    dataset = problems.guard("dataset", lambda: catalog.dataset(order.dataset))
    if dataset is not None:
        for base in (_train_base(catalog, dataset), DEFAULT_BASE):
            problems.guard("dataset", lambda base=base: catalog.bases.size(dataset, base))  # type: ignore[misc]
        problems.guard("dataset", lambda: _check_bases(catalog, order.dataset, dataset))
    if name is None or dataset is None or problems.found:
        raise problems.refusal()
    return SplitsRequest(
        dataset=order.dataset,
        name=name,
        train_base=_train_base(catalog, dataset),
        test_base=DEFAULT_BASE,
        profile=order.profile,
        imbalance_factor=order.imbalance_factor,
        seed=order.seed,
        test_shares=order.test_shares,
        expert_share=order.expert_share,
        overwrite=order.overwrite,
        declaration=dataset.model_dump(mode="json"),
    )


def _train_base(catalog: Catalog, dataset: Dataset) -> str:
    """Where train lists point: as declared, or the base `train` where the data set's kind has one."""
    declared = dataset.bases.get(TRAIN_SPLIT)
    return declared or (TRAIN_SPLIT if TRAIN_SPLIT in catalog.bases.names(dataset) else DEFAULT_BASE)


def _check_bases(catalog: Catalog, name: str, dataset: Dataset) -> None:
    if _train_base(catalog, dataset) == DEFAULT_BASE:
        raise RequestError(
            "no-train-base",
            f'The data set {name!r} declares no base for train lists: `train = "train"` under [{name}.bases] in '
            "datasets.toml says which one they point into.",
        )
