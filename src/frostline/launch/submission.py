"""The stale runs of a study as job arrays: those that are neither queued nor running nor finished ahead."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from frostline.config import Config, read
from frostline.errors import FrostlineError
from frostline.launch import arrays, slurm
from frostline.launch.launchers import Slurm
from frostline.launch.standing import ALIVE, current_plans_of, sent_of, standings
from frostline.runs.workplace import prepared
from frostline.scenes.layout import read_info
from frostline.studies.stale import stale
from frostline.studies.study import Study


@dataclass(frozen=True)
class Submitted:
    """sent: number of each array, and how many runs it has. alive: queued, running or waiting before. ahead: finished
    ahead before. fresh: neither stale nor any of these."""

    sent: dict[str, int]
    alive: int
    ahead: int
    fresh: int


def submit(study: Study, resources: Slurm, say: Callable[[str], None] = print) -> Submitted:
    """Send what is to be trained. Raises FrostlineError where something lacks, before anything is sent."""
    plans = current_plans_of(study)
    with arrays.locked(study.runs) as lock:
        slurm.queue()  # where nobody answers, that is told first
        configs = {name: read(path) for name, path in plans.items()}
        reasons = stale(study, configs)
        # Looked at last, as runs go on meanwhile.
        now = {each.run: each for each in standings(study, plans, sent_of(study))}
        ahead = {name for name in reasons if now[name].state == "done" and now[name].told}
        alive = {name for name in reasons if now[name].state in ALIVE}
        names = [name for name in plans if name in reasons and name not in ahead | alive]
        sent = _send(study, {name: configs[name] for name in names}, resources, lock, say) if names else {}
    return Submitted(sent, len(alive), len(ahead), len(plans) - len(reasons))


def _send(
    study: Study, configs: dict[str, Config], resources: Slurm, lock: int, say: Callable[[str], None]
) -> dict[str, int]:
    for data in dict.fromkeys(prepared(config) for config in configs.values()):
        try:
            read_info(study.runs / "data" / data)
        except FrostlineError as error:
            raise FrostlineError(
                f"The dataset of {study.name} is not prepared ({study.runs / 'data' / data}): run "
                f"`frostline prepare --study {study.folder}` first."
            ) from error
    most, sent = slurm.most(), Counter[str]()
    for (tasks, nodes), names in _by_size(configs).items():
        for first in range(0, len(names), most):
            part = names[first : first + most]
            number = arrays.send(study.runs, study.name, part, tasks, nodes, resources, lock)
            say(f"{study.name}: {len(part)} {'run' if len(part) == 1 else 'runs'} sent as job array {number}")
            sent[number] = len(part)
    return dict(sent)


def _by_size(configs: dict[str, Config]) -> dict[tuple[int, int], Sequence[str]]:
    """Runs by how many processes they have, and on how many nodes: all elements of an array get the same."""
    found: dict[tuple[int, int], list[str]] = {}
    for name, config in configs.items():
        trainer = config["trainer"]
        nodes = int(trainer.get("num_nodes", 1))
        found.setdefault((int(trainer["devices"]) * nodes, nodes), []).append(name)
    return dict(found)
