"""The folder of a champion: weights, what they need to be used, and a card."""

from pathlib import Path

from frostline.config import read
from frostline.deliver.card import card
from frostline.deliver.champion import Chosen

MODELS = Path("models")  # in the working directory


def name_of(chosen: Chosen) -> str:
    """What the model is called: the study, with the task and the dataset where its grid has several."""
    grid, panel = chosen.results.study.grid, chosen.panel
    told = {"task": panel.task, "dataset": panel.dataset}
    return "-".join([chosen.results.study.name, *(told[axis] for axis in told if len(grid.get(axis, ())) > 1)])


def write_champion(chosen: Chosen, folder: Path) -> None:
    """Write it, whole or not at all. Raises FrostlineError where the run's weights are not there, and where something
    else lies in the folder."""
    from frostline.runs.network import write_model  # torch

    config = read(chosen.run.folder / "config.yaml")
    write_model(chosen.run.folder, folder, lambda info: card(chosen, info, config, folder.as_posix()))
