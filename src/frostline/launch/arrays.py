"""A study's job arrays: what was sent, whether or not the driver lived to write down its number.

Each has a folder `runs/<study>/queue/<token>/`, written before anything is sent, and the token stands in the array's
name in the queue: so whoever looks there finds which run an element is, also where the driver was killed meanwhile.
"""

import fcntl
import json
import re
import shlex
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from frostline.environment import NODE_FOLDER
from frostline.errors import FrostlineError
from frostline.files import let_go, write_whole
from frostline.launch import slurm
from frostline.launch.launchers import Slurm

FOLDER = "queue"
SCRIPT = """\
#!/bin/sh
# Written by `frostline submit`: each element trains one run of the study, and says how it went in {cells}/.
cd -- {here} && exec >> {folder}/"$SLURM_ARRAY_TASK_ID".txt 2>&1 || exit 1
{export}exec {python} -m frostline.launch.element {folder}
"""
LOCKED = 300.0  # seconds that a submit waits for another one


@dataclass(frozen=True)
class Array:
    """One array. runs: the planned run that each element trains. tasks, nodes: processes of each, and on how many."""

    runs: tuple[str, ...]
    tasks: int
    nodes: int

    @classmethod
    def read(cls, folder: Path) -> "Array":
        """Raises FrostlineError where there is none."""
        try:
            held = json.loads((folder / "array.json").read_text(encoding="utf-8"))
            return cls(tuple(held["runs"]), int(held["tasks"]), int(held["nodes"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FrostlineError(f"{folder}/array.json cannot be read ({error}): submit the study again.") from None


@dataclass(frozen=True)
class Sent:
    """Where a run was sent last. job: its element; None where the driver was killed before it knew, and no queue tells.

    element: of the queue, None where that does not know it any more. cancelled: by `frostline cancel`.
    """

    folder: Path
    job: str | None
    element: slurm.Element | None
    cancelled: bool


def send(runs: Path, study: str, names: Sequence[str], tasks: int, nodes: int, resources: Slurm, lock: int) -> str:
    """Queue an array for these planned runs; its id. runs: the study's. lock: as `locked` gives it."""
    token = uuid.uuid4().hex[:12]
    folder = runs / FOLDER / f"{time.strftime('%Y%m%d-%H%M%S')}-{token}"
    folder.mkdir(parents=True)
    write_whole(folder / "array.json", json.dumps(asdict(Array(tuple(names), tasks, nodes)), indent=1) + "\n")
    values = {"cells": runs / "cells", "here": Path.cwd(), "python": sys.executable, "folder": folder}
    script = folder / "job.sh"
    quoted = {name: shlex.quote(str(value)) for name, value in values.items()}
    # Quoted, too: its variables are those of the node that a process of the run is on.
    export = f"export {NODE_FOLDER}={shlex.quote(resources.node_folder)}\n" if resources.node_folder else ""
    write_whole(script, SCRIPT.format(**quoted, export=export))
    most_at_once = f"%{resources.at_once}" if resources.at_once else ""
    options = [
        f"--array=0-{len(names) - 1}{most_at_once}",
        f"--job-name={name_of(study, token)}",
        f"--chdir={Path.cwd()}",
        # The script has a log of its own: SLURM expands % in the whole path, also where a folder is called so.
        *("--output=/dev/null", "--requeue"),
        *resources.arguments(nodes, tasks),
    ]
    number = slurm.send(script, options, lock)
    write_whole(folder / "job", number + "\n")
    return number


def name_of(study: str, token: str) -> str:
    """Of an array in the queue."""
    return f"frostline-{re.sub(r'[^A-Za-z0-9_.-]', '_', study)}-{token}"


def where(runs: Path, elements: Sequence[slurm.Element]) -> dict[str, Sent]:
    """Where each run of a study was sent last. elements: all that the queue tells, of whatever study."""
    by_token: dict[str, dict[int, slurm.Element]] = {}
    for element in elements:
        if element.name.startswith("frostline-"):
            by_token.setdefault(element.name.rpartition("-")[2], {})[element.index] = element
    found: dict[str, Sent] = {}
    for folder in folders(runs):
        elements_of = by_token.get(folder.name.rpartition("-")[2], {})
        number = _number(folder)
        if number is None and not elements_of:
            continue  # its driver was killed before it sent anything
        cancelled = (folder / "cancelled").exists()
        for index, run in enumerate(Array.read(folder).runs):
            before, here = found.get(run), elements_of.get(index)
            if before is not None and before.element is not None and before.element.alive and here is None:
                continue
            job = here.id if here is not None else None if number is None else f"{number}_{index}"
            found[run] = Sent(folder, job, here, cancelled)
    return found


def folders(runs: Path) -> list[Path]:
    """Of a study's arrays, the oldest first."""
    return sorted(path.parent for path in (runs / FOLDER).glob("*/array.json"))


def cancel(runs: Path, elements: Sequence[slurm.Element]) -> int:
    """Take a study's elements out of the queue, and stop those that run; how many there were."""
    alive = [
        (sent.folder, sent.element.array)
        for sent in where(runs, elements).values()
        if sent.element is not None and sent.element.alive
    ]
    for folder in {folder for folder, _ in alive}:
        write_whole(folder / "cancelled", "")  # first, so that nothing requeues itself
    if alive:
        slurm.cancel({array for _, array in alive})
    return len(alive)


@contextmanager
def locked(runs: Path) -> Iterator[int]:
    """Within, nobody else submits this study. What is given keeps the lock as long as a process has it open.

    So sbatch has it, too: where its driver is killed, a second one begins to look only when the array is in the queue.
    """
    (runs / FOLDER).mkdir(parents=True, exist_ok=True)
    since = time.monotonic()
    with (runs / FOLDER / ".lock").open("a+") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() - since > LOCKED:
                    raise FrostlineError(f"Another `frostline submit` has {file.name}: wait for it.") from None
                time.sleep(0.1)
            except OSError:  # no locks on this file system
                break
        try:
            yield file.fileno()
        finally:
            let_go(file)


def _number(folder: Path) -> str | None:
    try:
        return (folder / "job").read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
