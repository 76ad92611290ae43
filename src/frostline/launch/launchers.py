"""Where runs are to be trained, and with how much: a file of conf/launcher/, and what is given on the command line."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from frostline.config import conf_dir, conf_files
from frostline.config.values import Kind, typed
from frostline.errors import FrostlineError, check_number

TIME = re.compile(r"\d+(:\d{1,2}){0,2}|\d+-\d{1,2}(:\d{1,2}){0,2}")
OPTION = re.compile(r"[a-z][a-z0-9-]*")
# Options of sbatch by which an element is what `submit`, `status` and `cancel` take it for.
OURS = {
    *("array", "chdir", "error", "export", "export-file", "input", "job-name", "nodes", "no-requeue", "ntasks"),
    *("ntasks-per-node", "open-mode", "output", "parsable", "requeue", "signal", "test-only", "uid", "wait", "wrap"),
}
SAID_BY_KEY = {"time": "time", "partition": "partition", "account": "account", "mem": "memory"}
SAID_BY_KEY |= {"cpus-per-task": "cpus_per_task", "gres": "gpus", "gpus": "gpus"}


@dataclass(frozen=True)
class Local:
    """On this machine. at_once: at most so many; None for as many as there is room for."""

    at_once: int | None = None

    def __post_init__(self) -> None:
        _check("at_once", self.at_once, 1)


@dataclass(frozen=True)
class Slurm:
    """What an element of an array gets; None for what the cluster gives where nothing is said.

    time: of one attempt, as sbatch takes it. signal: seconds before its end. memory: of a node, as sbatch takes it.
    cpus_per_task, gpus: for each process of a run. node_folder: on each node's own disk, with variables as they are
    there. options: more of sbatch's, by long name.
    """

    time: str
    signal: int
    cpus_per_task: int
    gpus: int = 0
    partition: str | None = None
    account: str | None = None
    memory: str | None = None
    node_folder: str | None = None
    at_once: int | None = None
    options: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not TIME.fullmatch(self.time):
            raise FrostlineError(
                f"launcher.time is '{self.time}'; write minutes, hours:minutes:seconds or days-hours, such as 8:00:00 "
                "(in a file in quotes)."
            )
        _check("signal", self.signal, 1, 65_535)
        if seconds_of(self.time) <= self.signal:
            raise FrostlineError(
                f"launcher.signal is {self.signal} s, and launcher.time no more ({self.time}): an element would be "
                "told to stop as it begins, so give it more time."
            )
        _check("cpus_per_task", self.cpus_per_task, 1, 4096)
        _check("gpus", self.gpus, 0, 64)
        _check("at_once", self.at_once, 1)
        for name in self.options:
            if not OPTION.fullmatch(name):
                raise FrostlineError(f"launcher.options.{name} is no long option of sbatch's, such as qos.")
            if name in OURS:
                raise FrostlineError(f"launcher.options.{name}: that is for `frostline submit` to say; leave it out.")
            if name in SAID_BY_KEY:
                raise FrostlineError(f"launcher.options.{name}: set launcher.{SAID_BY_KEY[name]} in its place.")

    def arguments(self, nodes: int, tasks: int) -> list[str]:
        """For sbatch, for runs of so many processes on so many nodes."""
        each = -(-tasks // nodes)  # processes of a node
        told: dict[str, object] = {"time": self.time, "nodes": nodes, "ntasks": tasks, "ntasks-per-node": each}
        told |= {"cpus-per-task": self.cpus_per_task, "partition": self.partition, "account": self.account}
        # All GPUs of a node for all its processes, each of which takes its own: one that saw no other could not
        # exchange gradients with them.
        told |= {"mem": self.memory, "gres": f"gpu:{self.gpus * each}" if self.gpus else None}
        # To the script alone, which tells the run: workers of a run would take it for their end.
        told |= {"signal": f"B:USR1@{self.signal}", **self.options}
        return [f"--{name}={value}" for name, value in told.items() if value is not None]


KINDS: dict[str, type[Local] | type[Slurm]] = {"local": Local, "slurm": Slurm}
TYPES: dict[Any, Kind] = {int: Kind("int"), int | None: Kind("int", none=True)}
TYPES |= {str: Kind("str"), str | None: Kind("str", none=True)}


def chosen(overrides: Sequence[str], default: str) -> Local | Slurm:
    """By `launcher=NAME` and `launcher.KEY=VALUE`. default: NAME where none is given.

    Raises FrostlineError where there is no such file, key or value.
    """
    pairs = [each.partition("=")[::2] for each in overrides]
    if strange := [key for key, _ in pairs if key != "launcher" and not key.startswith("launcher.")]:
        raise FrostlineError(
            f"'{strange[0]}' is nothing of a launcher: a study's runs are as they were planned, so write "
            "launcher=slurm, launcher=local or launcher.KEY=VALUE."
        )
    name = next((value for key, value in reversed(pairs) if key == "launcher"), default)
    files = conf_files("launcher")
    if name not in files:
        raise FrostlineError(f"There is no launcher '{name}': choose one of {', '.join(files)} ({_folder()}).")
    held = dict(files[name] or {})
    kind = held.pop("kind", None)
    if kind not in KINDS:
        raise FrostlineError(f"{_folder()}/{name}.yaml: kind is {kind!r}; it is {' or '.join(KINDS)}.")
    made = KINDS[kind]
    types = {each.name: each.type for each in fields(made)}
    settings: dict[str, Any] = {key: _typed(key, value, types, name) for key, value in held.items() if key != "options"}
    options = held.get("options") or {}
    if not isinstance(options, dict):
        raise FrostlineError(f"{_folder()}/{name}.yaml: options is {options!r}; it is a mapping, such as {{qos: low}}.")
    for key, value in pairs:
        own = key.removeprefix("launcher.")
        if own.startswith("options.") and "options" in types:
            options = {**options, own.removeprefix("options."): value}
        elif key != "launcher":
            settings[own] = _typed(own, value, types, name)
    if "options" in types:
        settings["options"] = {str(key): str(value) for key, value in options.items()}
    lacking = [each for each in ("time", "signal", "cpus_per_task") if each in types and each not in settings]
    if lacking:
        raise FrostlineError(f"{_folder()}/{name}.yaml has no {lacking[0]}: write one, as conf/launcher/slurm.yaml.")
    return made(**settings)


def seconds_of(time: str) -> int:
    """What sbatch takes for a time limit, in seconds."""
    days, dash, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:
        hours, minutes, seconds = [*parts, 0, 0][:3]
    else:  # minutes, minutes:seconds, hours:minutes:seconds
        hours, minutes, seconds = parts if len(parts) == 3 else (0, *[*parts, 0][:2])
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


def _typed(key: str, value: object, types: dict[str, Any], name: str) -> Any:
    if key not in types:
        near = difflib.get_close_matches(key, types, n=1)
        hint = f"did you mean launcher.{near[0]}?" if near else f"it has {', '.join(types)}"
        raise FrostlineError(f"launcher={name} has no key '{key}'; {hint}")
    if key == "options":
        raise FrostlineError("launcher.options is a mapping: write launcher.options.NAME=VALUE for each.")
    if key == "time" and not isinstance(value, str):  # YAML takes 4:00:00 for a number to the base of 60
        raise FrostlineError(f'{_folder()}/{name}.yaml: write time in quotes, such as "4:00:00".')
    return typed(f"launcher.{key}", None if value == "null" else value, TYPES[types[key]])


def _check(key: str, value: int | None, low: float, high: float = float("inf")) -> None:
    if value is not None:
        check_number(f"launcher.{key}", value, low, high, whole=True)


def _folder() -> str:
    return str(conf_dir() / "launcher")
