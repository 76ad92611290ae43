"""How long each network of a study takes to predict a picture: taken in turn, in one process, on this machine."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from frostline.config.files import read
from frostline.errors import FrostlineError
from frostline.files import write_whole
from frostline.runs.provenance import machine
from frostline.runs.result import RunResult
from frostline.scenes.dataset import Dataset

SPEED, TURNS = "speed.json", 3


def time_in_turn(runs: Path) -> None:
    """Time each network that the finished runs below a study's folder have, and keep it there as SPEED.

    The same network takes another time an hour later: each is taken TURNS times, one after another, so that what else
    the machine does meets all of them. Networks that were taken before on such a machine, and those whose run or
    dataset is not here, are left out.
    """
    path, here = runs / SPEED, machine()
    taken: dict[str, Any] = _known(path, here)
    found_in = {RunResult.read(file).network: file.parent for file in sorted((runs / "results").glob("*/result.json"))}
    here_too = {n: at for n, at in found_in.items() if n not in taken and (at / "model.safetensors").is_file()}
    if not here_too:
        return
    from frostline.runs.timing import predict_ms  # torch takes seconds, which a second look need not

    timed = {network: one for network, folder in here_too.items() if (one := _loaded(runs, folder)) is not None}
    if not timed:
        return
    found: dict[str, list[float]] = {network: [] for network in timed}
    turns: Iterable[str] = [network for _ in range(TURNS) for network in timed]
    for network in tqdm(turns, desc="time to predict", unit=" networks", disable=None):
        task, data = timed[network]
        found[network].append(round(predict_ms(task, data), 3))
    write_whole(path, json.dumps({"machine": here, "networks": taken | found}, indent=1) + "\n")


def _known(path: Path, here: str) -> dict[str, Any]:
    try:
        known: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return dict(known["networks"]) if known["machine"] == here else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _loaded(runs: Path, folder: Path) -> tuple[Any, Any] | None:
    """The task of a run and its data; None where one of them is not here, or not as this state of the code has it."""
    from frostline.runs.build import build_data
    from frostline.runs.network import read_run

    try:
        config = read(folder / "config.yaml")
        dataset = Dataset.open(runs / "data" / str(config.get("prepared") or config["dataset"]["name"]))
        data = build_data(config, dataset)
        data.setup("test")
        return read_run(folder)[1], data
    except (FrostlineError, OSError, KeyError):
        return None
