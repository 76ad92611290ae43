"""What a study stated before its first result, kept beside it, so that a statement changed afterwards is noticed."""

from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from frostline.errors import FrostlineError
from frostline.files import replacing
from frostline.studies.study import Study

KEPT = "stated.yaml"  # beside study.yaml, to be committed with it
KEYS = ("metric", "margin", "expected")
HEAD = (
    "# What study.yaml stated before the first result, kept by `frostline plan`. The report names what changed since.\n"
)


def keep(study: Study) -> None:
    """Keep what the study states now, as long as no run has a result; afterwards, its looks where none were kept."""
    now, before = _now(study), kept(study)
    if seen(study):
        now = before if before.get("looks") or not study.looks else before | {"looks": now["looks"]}
    if now != before:
        with replacing(study.folder / KEPT) as aside, aside.open("w", encoding="utf-8") as file:
            file.write(HEAD)
            YAML(typ="safe", pure=True).dump(now, file)


def kept(study: Study) -> dict[str, Any]:
    """What is kept; empty where nothing is. Raises FrostlineError where the file is not what was written."""
    path = study.folder / KEPT
    if not path.is_file():
        return {}
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (YAMLError, ValueError):
        content = None
    kinds = {key: list if key == "looks" else dict for key in (*KEYS, "looks")}
    if not isinstance(content, dict) or not all(
        key in kinds and isinstance(value, kinds[key]) for key, value in content.items()
    ):
        raise FrostlineError(f"{path} is not what `frostline plan` wrote: take it back from git, or remove it.")
    return content


def seen(study: Study) -> bool:
    """Whether a run has had a result: here, or where results.csv was written."""
    return (study.folder / "results.csv").is_file() or any((study.runs / "results").glob("*/result.json"))


def changes(study: Study) -> list[str]:
    """What study.yaml states otherwise than it did before the first result, a sentence each; empty where nothing is.

    Raises FrostlineError as `kept` does.
    """
    return list(_changes(study, kept(study), _now(study))) if seen(study) else []


def _now(study: Study) -> dict[str, Any]:
    return study.stated.plain() | {"looks": [*study.looks]}


def _changes(study: Study, before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    old, new = _flat(before), _flat({key: now[key] for key in KEYS if key in before})
    for key in dict.fromkeys([*old, *new]):
        if old.get(key) != new.get(key):
            yield f"{key} was {_said(old.get(key))} before the first result, and is {_said(new.get(key))} now."
    # A text alone was always allowed, and is no rule to judge by.
    rule = any(one.best or one.range for one in study.stated.expected.values())
    for key in KEYS:
        if key not in before and (rule if key == "expected" else now[key]):
            yield f"`{key}` is not known to have been stated before the first result: no {KEPT} was kept."
    if before.get("looks") and before["looks"] != now["looks"]:
        yield f"`looks` was {before['looks']} before the first of them, and is {_said(now['looks'])} now."


def _flat(told: dict[str, Any]) -> dict[str, Any]:
    """What is stated, by what it is called in a sentence."""
    flat: dict[str, Any] = {}
    for key in KEYS:
        for task, value in told.get(key, {}).items():
            of = f" of {task}" if task else ""
            parts = value.items() if isinstance(value, dict) else [("", value)]
            flat |= {f"`{key}.{part}`{of}" if part else f"`{key}`{of}": one for part, one in parts if one}
    return flat


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{axis}={one}" for axis, one in value.items())
    return str(value) if value else "not stated"
