"""The pictures that a model was trained and tested on, where they are still there."""

from collections.abc import Sequence
from pathlib import Path

from frostline.errors import FrostlineError
from frostline.parsing.files import picture_files
from frostline.pictures.preprocessing import Picture
from frostline.pictures.stored import stored_picture
from frostline.predict.info import ModelInfo
from frostline.runs.workplace import RUNS
from frostline.scenes.dataset import Dataset
from frostline.scenes.layout import INFO, read_info
from frostline.tasks.examples import spread


def dataset_of(info: ModelInfo, model: Path) -> Dataset | None:
    """The prepared dataset of a model: the one with its hash, beside the run or below runs/; None where none is there.

    model: where the model lies.
    """
    near = [folder / "data" for folder in model.absolute().parents[:3]]  # of its study, or of all runs
    for folder in [*near, RUNS / "data", *sorted(RUNS.glob("*/data"))]:
        for file in sorted(folder.glob(f"*/{INFO}")):
            try:
                if read_info(file.parent)["data_hash"] == info.origin.get("data_hash"):
                    return Dataset.open(file.parent)
            except (FrostlineError, KeyError):  # another one, or none any more
                continue
    return None


def pictures_of(dataset: Dataset, split: str, most: int) -> list[Picture]:
    """So many pictures of a split at most, as files hold them, spread evenly over it."""
    scenes = dataset.scenes(split)
    return [stored_picture(scenes[place]) for place in spread(most, len(scenes))]


def pictures_in(places: Sequence[Path], most: int) -> list[Picture]:
    """So many of the pictures given, as files and folders, at most. Raises FrostlineError where there is none."""
    found = [file for place in places for file in (picture_files(place) if place.is_dir() else [place])]
    if not found:
        raise FrostlineError(f"There is no picture in {', '.join(map(str, places))}.")
    return [found[place] for place in spread(most, len(found))]
