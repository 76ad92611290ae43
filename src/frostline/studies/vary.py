"""What a seed varies: weights and order, the split as well, or which fold is tested; and what its interval covers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from frostline.config import Config
from frostline.errors import FrostlineError, check_number
from frostline.scenes.splits import FOLDS

KNOWN = ("weights", "order", "split")
HOW = "it is a list of weights, order, split, or folds: 5, such as [weights, order]"


@dataclass(frozen=True)
class Vary:
    """Beside the first weights of what is not pretrained, and the order and augmentation of pictures.

    split: whether each seed draws a split of its own. folds: into how many parts the pictures are dealt out, of which
    seed k has part k as its test split and the next one as its validation split; None where they are not.
    """

    split: bool = False
    folds: int | None = None

    @property
    def data(self) -> bool:
        """Whether each seed has pictures of its own."""
        return self.split or self.folds is not None

    @property
    def covers(self) -> str:
        """In one sentence, of what the interval over seeds speaks."""
        if self.folds is not None:
            return (
                "The interval over seeds covers other weights, another order and other pictures of this collection, as "
                f"each is tested once in {self.folds} folds; folds train on shared pictures, so for a new one it "
                "is somewhat too narrow."
            )
        if self.split:
            return (
                "The interval over seeds covers other weights, another order, and another split of these pictures; "
                "splits share pictures, so for a new collection it is somewhat too narrow."
            )
        return (
            "The interval over seeds covers other weights and another order of training on this one split; what other "
            "test pictures would say, it does not cover."
        )

    def folder(self, dataset: str, seed: object) -> str:
        """The name of the prepared dataset that runs of a seed read. dataset: what it is called in the study."""
        if self.folds is not None:
            return f"{dataset}-fold{seed}"
        return f"{dataset}-seed{seed}" if self.split else dataset

    def apply(self, config: Config, seed: int) -> Config:
        """The configuration of a run with this seed. `prepared` is the folder of its dataset, where that has not its
        name. Raises FrostlineError where its source's own splits would be kept."""
        if not self.data:
            return config
        dataset = config["dataset"]
        split = dict(dataset.get("split") or {})
        if (given := split.get("given", False)) is not False:
            raise FrostlineError(
                f"'vary' draws the split for each seed, and dataset.split.given is {str(given).lower()}: it keeps what "
                "the source gives: add dataset.split.given=false to overrides, or leave split and folds out."
            )
        if self.folds is not None:
            split |= {"folds": self.folds, "fold": seed}
        else:
            split["seed"] = int(split.get("seed", 0)) + seed
        return config | {"dataset": dataset | {"split": split}, "prepared": self.folder(dataset["name"], seed)}


def read_vary(value: Any, grid: Mapping[str, list[Any]], place: str) -> Vary:
    """The key `vary` of study.yaml. Raises FrostlineError where it says what cannot be."""
    if value is None:
        return Vary()
    items = [*KNOWN[:2], value] if isinstance(value, dict) else value  # folds alone vary weights and order as well
    if not isinstance(items, list):
        raise FrostlineError(f"{place}: 'vary' is {value!r}; {HOW}.")
    folds = None
    for item in items:
        if isinstance(item, dict) and set(item) == {"folds"}:
            folds = item["folds"]
            check_number(f"{place}: 'folds'", folds, *FOLDS, whole=True)
        elif item not in KNOWN:
            raise FrostlineError(f"{place}: 'vary' has {item!r}; {HOW}.")
    if missing := [name for name in KNOWN[:2] if name not in items]:
        raise FrostlineError(
            f"{place}: 'vary' lacks {missing[0]}: one seed draws weights and order together, so list both, or leave "
            "'vary' out."
        )
    found = Vary("split" in items, folds)
    if found.split and folds is not None:
        raise FrostlineError(f"{place}: 'vary' has split and folds; folds are splits already, so leave split out.")
    if found.data:
        _check_seeds(grid, folds, place)
    return found


def _check_seeds(grid: Mapping[str, list[Any]], folds: int | None, place: str) -> None:
    seeds = grid.get("seed")
    if not seeds or not all(isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 for seed in seeds):
        raise FrostlineError(
            f"{place}: 'vary' needs whole numbers as seeds: give the grid an axis such as seed: [0, 1, 2]."
        )
    check_fold(seeds, folds, place)


def check_fold(seeds: list[int], folds: int | None, place: str) -> None:
    """Raise FrostlineError where a seed has no fold."""
    if folds is not None and max(seeds) >= folds:
        raise FrostlineError(
            f"{place}: there are {folds} folds, so seeds are 0 to {folds - 1}, and {max(seeds)} is none."
        )
