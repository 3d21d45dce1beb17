"""Make the demo data set `digits_lt`: images, splits and three trained experts.

    python data/digits_lt/make_digits_lt.py [--out DIR]

writes below DIR (by default the repository itself), if it is run from the repository root:

    data/digits_lt/{train,test}.npz                        the images, in the layout of kind `npz`
    data/digits_lt_splits/*.json                           four splits, class weights, train class counts
    checkpoints/experts/digits_lt/{best_,final_calibrated_}*.pth    three ResNet-20 experts

The images are scikit-learn's copy of the UCI handwritten digits, so nothing is downloaded. This file makes the data
without torch; `train_experts.py` trains the experts.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

ROOT = Path(__file__).resolve().parents[2]
SEED = 42
CLASSES = 10
SCALE = 4  # from the 8x8 scans to the 32x32 of a CIFAR network
TEST_PER_CLASS = 60
IMBALANCE = 20

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Base:
    """Images and labels that a split's indices point into.

    Attributes:
        images: [N, 32, 32, 3] uint8, three equal channels, in scikit-learn's order.
        labels: [N] int64, 0 to 9; labels[n] belongs to images[n].
    """

    images: Images
    labels: Labels

    def rows(self, label: int) -> NDArray[np.int64]:
        """List the row numbers of one class, ascending, int64."""
        return np.flatnonzero(self.labels == label).astype(np.int64)


def enlarge(scans: NDArray[np.float64]) -> Images:
    """Enlarge scans to images.

    Scans are [N, 8, 8] with values 0 to 16, images [N, 32, 32, 3] uint8. The values are scaled by 255/16 and rounded,
    and each becomes a block of 4x4 pixels (nearest neighbour). This invents no values between the scanned pixels and
    gives the same bytes on every machine, which compress to a twelfth of the size after a smooth filter.
    """
    gray = np.rint(scans * (255 / 16)).astype(np.uint8)
    large = gray.repeat(SCALE, axis=1).repeat(SCALE, axis=2)  # [N, 32, 32]
    return np.repeat(large[..., None], 3, axis=3)  # [N, 32, 32, 3]


def make_bases() -> dict[str, Base]:
    """Divide the digits into a balanced `test` base and a `train` base.

    There are 1,797 digits. A generator seeded with 42 shuffles the rows of each class in turn; the first 60 are
    `test`, the rest `train`.
    """
    digits = load_digits()
    digits_base = Base(enlarge(digits.images), digits.target.astype(np.int64))
    in_test = np.zeros(len(digits_base.labels), dtype=bool)
    rng = np.random.RandomState(SEED)
    for label in range(CLASSES):
        in_test[rng.permutation(digits_base.rows(label))[:TEST_PER_CLASS]] = True
    return {
        name: Base(digits_base.images[mask], digits_base.labels[mask])
        for name, mask in (("train", ~in_test), ("test", in_test))
    }


def long_tail(n_max: int) -> list[int]:
    """Compute the number of train images of each class.

    n_c = max(1, trunc(n_max · IF^(−c/(C−1)))).
    """
    return [max(1, int(n_max * IMBALANCE ** (-label / (CLASSES - 1)))) for label in range(CLASSES)]


def make_splits(bases: dict[str, Base]) -> dict[str, list[int]]:
    """Draw class-major index lists in the way of the CIFAR-100-LT splits.

    Returns:
        `train`: rows of the train base, long-tailed; its largest class has as many images as the smallest
        class of the base. `test`, `val`, `tunev`: disjoint rows of the test base, 8:1:1 in every class.
    """
    train, test = bases["train"], bases["test"]
    splits: dict[str, list[int]] = {"train": [], "test": [], "val": [], "tunev": []}

    rng = np.random.RandomState(SEED)
    n_max = int(np.bincount(train.labels).min())
    for label, count in enumerate(long_tail(n_max)):
        splits["train"] += rng.choice(train.rows(label), count, replace=False).tolist()

    rng = np.random.RandomState(SEED)
    for label in range(CLASSES):
        rows = rng.permutation(test.rows(label))
        parts = np.split(rows, [TEST_PER_CLASS * 8 // 10, TEST_PER_CLASS * 9 // 10])
        for name, part in zip(("test", "val", "tunev"), parts, strict=True):
            splits[name] += part.tolist()
    return splits


def train_counts(bases: dict[str, Base], splits: dict[str, list[int]]) -> list[int]:
    """Count the train split's images of each class, in class order."""
    counts: list[int] = np.bincount(bases["train"].labels[splits["train"]], minlength=CLASSES).tolist()
    return counts


def write_data(out: Path, bases: dict[str, Base], splits: dict[str, list[int]]) -> None:
    """Write two `.npz` files and six JSON files below `out`.

    Each run writes the same bytes.
    """
    images_dir = out / "data" / "digits_lt"
    splits_dir = out / "data" / "digits_lt_splits"
    for folder in (images_dir, splits_dir):
        folder.mkdir(parents=True, exist_ok=True)
    for name, base in bases.items():
        np.savez_compressed(images_dir / f"{name}.npz", images=base.images, labels=base.labels)
    counts = train_counts(bases, splits)
    files: dict[str, list[int] | list[float]] = {f"{name}_indices": rows for name, rows in splits.items()}
    files["train_class_counts"] = counts
    files["class_weights"] = [count / sum(counts) for count in counts]
    for name, values in files.items():
        (splits_dir / f"{name}.json").write_text(json.dumps(values) + "\n", encoding="utf-8")


def main() -> None:
    """Make the data, train the experts and print a summary."""
    parser = argparse.ArgumentParser(description="Make the demo data set digits_lt and train its experts.")
    parser.add_argument("--out", type=Path, default=ROOT, help="where to write (default: the repository)")
    out: Path = parser.parse_args().out

    # The import path has a script's own folder but not the repository's root, where `worker` lies.
    sys.path.insert(0, str(ROOT))
    from data.digits_lt.train_experts import train_all

    bases = make_bases()
    splits = make_splits(bases)
    write_data(out, bases, splits)
    for name, rows in splits.items():
        print(f"{name:<6}{len(rows):>5} images")
    print(f"train class counts {train_counts(bases, splits)}")

    # Temperatures are fitted on the rows of the train base in no split, because a split of 60 images is too small.
    unused = sorted(set(range(len(bases["train"].labels))) - set(splits["train"]))
    arrays = {}
    for name, rows in {**splits, "unused": unused}.items():
        base = bases["train" if name in ("train", "unused") else "test"]
        arrays[name] = (base.images[rows], base.labels[rows])
    train_all(arrays, out / "checkpoints" / "experts" / "digits_lt")


if __name__ == "__main__":
    main()
