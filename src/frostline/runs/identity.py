"""What a run that starts anew leaves behind: epochs trained with other settings, on other data, by other code."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from frostline.words import listed

MARK = "identity"  # in a run's folder: its configuration, and in the last lines its dataset and the state of the code
_MOST = 3  # settings that are named


def removed(folder: Path, this: str) -> str | None:
    """What is said before the folder of a run is emptied, because it was of another identity; None where it is bare."""
    epochs = _epochs(folder)
    if not epochs:
        return None
    return f"{folder} has {epochs} of a run with another {_changed(folder, this)}: they are removed, and it starts anew"


def beside(folder: Path, this: str) -> str | None:
    """What is said of an unfinished run of the same name and other settings, the nearest, beside a run's own folder."""
    others = [
        (len(_settings(other, this)), other)
        for other in sorted(folder.parent.glob(f"{folder.name.rpartition('-')[0]}-*"))
        if other != folder and other.is_dir() and _epochs(other)
    ]
    if not others:
        return None
    _, other = min(others)
    return (
        f"{other} keeps {_epochs(other)} of a run with another {_changed(other, this)}: this one starts anew, and that "
        f"one goes on with its own settings (or remove it: rm -r {other})"
    )


def _epochs(folder: Path) -> str:
    """How many it has trained, in words; none where there is no journal."""
    try:
        count = (folder / "epochs.jsonl").read_bytes().count(b"\n")
    except OSError:
        count = 0
    return "" if not count else "an epoch" if count == 1 else f"{count} epochs"


def _changed(folder: Path, this: str) -> str:
    """What differs, for a sentence: `trainer.epochs (2, now 3)`, `dataset`, `state of the code`."""
    settings = _settings(folder, this)
    if settings:
        return listed(settings[:_MOST]) + (
            f" and {len(settings) - _MOST} more settings" if len(settings) > _MOST else ""
        )
    before, now = _read(folder).splitlines()[-2:], this.splitlines()[-2:]
    names = ("dataset", "state of the code")
    differing = [name for name, was, is_ in zip(names, before, now, strict=False) if was != is_]
    return listed(differing) or "state"


def _settings(folder: Path, this: str) -> list[str]:
    was, now = _parsed(_read(folder)), _parsed(this)
    keys = sorted(key for key in was.keys() | now.keys() if was.get(key) != now.get(key))
    return [f"{key} ({was.get(key)}, now {now.get(key)})" for key in keys]


def _read(folder: Path) -> str:
    try:
        return (folder / MARK).read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def config_of(folder: Path) -> dict[str, Any]:
    """That a run's folder is good for; empty where that is damaged."""
    return _config(_read(folder))


def _config(text: str) -> dict[str, Any]:
    """Of an identity."""
    try:
        config = yaml.safe_load(text.rsplit("\n", 3)[0])
    except yaml.YAMLError:
        return {}
    return config if isinstance(config, dict) else {}


def _parsed(text: str) -> dict[str, Any]:
    """The settings of an identity, by key; none where it is damaged."""
    return dict(_leaves(_config(text)))


def _leaves(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
