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


def time_in_turn(runs: Path, threads: int | None = None) -> None:
    """Time each network that the finished runs below a study's folder have, and keep it there as SPEED.

    The same network takes another time an hour later: each is taken TURNS times, one after another, so that what else
    the machine does meets all of them. Networks that were taken before on such a machine, and those whose run or
    dataset is not here, are left out. threads: of torch, by default as it is.
    """
    path, here = runs / SPEED, machine()
    taken: dict[str, Any] = _known(path, here)
    results = [RunResult.read(file) for file in sorted((runs / "results").glob("*/result.json"))]
    fresh = {result.network: result for result in results if result.network not in taken}
    here_too = {
        network: result for network, result in fresh.items() if Path(str(result.folder), "model.safetensors").is_file()
    }
    if not here_too:
        return
    import torch  # takes seconds, which a second look need not

    from frostline.runs.timing import predict_ms

    timed = {network: one for network, result in here_too.items() if (one := _loaded(runs, result)) is not None}
    if not timed:
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    found: dict[str, list[float]] = {network: [] for network in timed}
    try:
        turns: Iterable[str] = [network for _ in range(TURNS) for network in timed]
        for network in tqdm(turns, desc="time to predict", unit=" networks", disable=None):
            task, data = timed[network]
            found[network].append(round(predict_ms(task, data), 3))
    finally:
        torch.set_num_threads(before)
    write_whole(path, json.dumps({"machine": here, "networks": taken | found}, indent=1) + "\n")


def _known(path: Path, here: str) -> dict[str, Any]:
    try:
        known: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return dict(known["networks"]) if known["machine"] == here else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _loaded(runs: Path, result: RunResult) -> tuple[Any, Any] | None:
    """The task of a run and its data; None where one of them is not here, or not as this state of the code has it."""
    from frostline.runs.build import build_data
    from frostline.runs.load import load

    try:
        config = read(Path(str(result.folder)) / "config.yaml")
        dataset = Dataset.open(runs / "data" / str(config.get("prepared") or config["dataset"]["name"]))
        data = build_data(config, dataset)
        data.setup("test")
        return load(str(result.folder)).task, data
    except (FrostlineError, OSError, KeyError):
        return None
