"""A study: a question, and the grid of runs that answers it, as `experiments/<name>/study.yaml` says it."""

import itertools
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from frostline.errors import FrostlineError
from frostline.files import hint_above
from frostline.runs.workplace import RUNS
from frostline.studies.axes import SEED, in_name, is_value, override, short_names, text
from frostline.studies.seeds import read_looks, read_seeds, seconds_of
from frostline.studies.stated import Stated, read_stated
from frostline.studies.vary import Vary, read_vary
from frostline.words import one_line

KEYS = {
    *("question", "metric", "margin", "expected", "budget", "vary", "grid", "overrides", "overrides_for"),
    *("looks", "seeds_for"),  # written by `frostline study seeds`
}


@dataclass(frozen=True)
class Study:
    """The content of study.yaml.

    expected: what was expected beforehand, as one text; empty where nothing was.
    grid: key of the configuration -> its values; the runs are their product. overrides: for every run.
    overrides_for: (key, value as text) of the grid -> overrides for the runs that have it.
    stated: what is fixed before the runs. vary: what a seed varies. budget: seconds for rounds of seeds, None where
    none is stated. looks: how many seeds the arms that compete have at each look; empty where none are planned.
    seeds_for: an arm as `arm_of` calls it -> its seeds beyond those of the grid.
    """

    folder: Path
    question: str
    expected: str
    grid: Mapping[str, list[Any]]
    overrides: tuple[str, ...]
    overrides_for: Mapping[tuple[str, str], list[str]]
    stated: Stated = Stated()
    vary: Vary = Vary()
    budget: float | None = None
    looks: tuple[int, ...] = ()
    seeds_for: Mapping[str, list[int]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    def at(self, key: str) -> str:
        """Where a key of its study.yaml stands, as messages name it."""
        return place(self.folder / "study.yaml", key)

    def at_axis(self, values: Mapping[str, Any], told: str) -> str:
        """Where the axis of a run's values stands that a message is about, or else the file."""
        longest = sorted(values, key=len, reverse=True)
        axis = next((key for key in longest if re.search(rf"(?<![\w.]){re.escape(key)}(?![\w.])", told)), None)
        return place(self.folder / "study.yaml", axis, r"\s+") if axis else f"{self.folder}/study.yaml"

    @property
    def runs(self) -> Path:
        """Where everything that its runs make is kept."""
        return RUNS / self.name

    @property
    def axes(self) -> dict[str, list[str]]:
        """Short name of each axis but the seed -> its values as text, in the order of the grid."""
        return axes_of(self.grid)

    def cells(self) -> dict[str, dict[str, Any]]:
        """Name of each run, which is that of its cell in the matrix of DVC -> its value on each axis.

        Those of the grid come first, then those of `seeds_for`. Raises FrostlineError where two would be called alike.
        """
        cells: dict[str, dict[str, Any]] = {}
        for values in itertools.product(*self.grid.values()):
            name = "-".join(map(in_name, values))
            if name in cells:
                raise FrostlineError(f"{self.folder}/study.yaml: two runs would be called '{name}'; take one away.")
            cells[name] = dict(zip(self.grid, values, strict=True))
        arms = {arm_of(cell): cell for cell in cells.values()}
        for arm, seeds in self.seeds_for.items():
            for seed in seeds:
                cell = arms[arm] | {SEED: seed}
                cells["-".join(map(in_name, cell.values()))] = cell
        return cells

    def overrides_of(self, values: Mapping[str, Any]) -> list[str]:
        """What a run with these values on the axes is composed of."""
        chosen = [override(key, value) for key, value in values.items()]
        special = [o for key, value in values.items() for o in self.overrides_for.get((key, text(value)), [])]
        return [*self.overrides, *chosen, *special, f"study={self.name}"]


def read_study(folder: Path) -> Study:
    """The study in a folder. Raises FrostlineError where study.yaml is missing or not understood."""
    path = folder / "study.yaml"
    content = _read(path)
    if not isinstance(content, dict):
        raise FrostlineError(f"{path} is not a mapping: it needs 'question' and 'grid'.")
    unknown = sorted(map(str, set(content) - KEYS))
    if unknown:
        raise FrostlineError(f"{path} has an unknown key '{unknown[0]}'; known are {', '.join(sorted(KEYS))}.")

    def at(key: str) -> str:
        return place(path, key)

    grid = _grid(path, content.get("grid"))
    stated = read_stated(content, axes_of(grid), at)
    vary = read_vary(content.get("vary"), grid, at("vary"))
    study = Study(
        folder,
        question=str(content.get("question") or ""),
        expected=stated.words,
        grid=grid,
        overrides=tuple(_listed(path, "overrides", content.get("overrides"))),
        overrides_for=_special(path, content.get("overrides_for"), grid),
        stated=stated,
        vary=vary,
        budget=None if content.get("budget") is None else seconds_of(content["budget"], f"{at('budget')}: 'budget'"),
        looks=read_looks(content.get("looks"), at("looks")),
    )
    arms = {arm_of(values) for values in study.cells().values()}
    more = read_seeds(content.get("seeds_for"), arms, grid.get(SEED, []), vary.folds, at("seeds_for"))
    return replace(study, seeds_for=more)


def place(path: Path, key: str, indented: str = "") -> str:
    """Where a key of study.yaml stands, as messages name it. indented: what stands before it, as a pattern."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found = next(
        (n for n, line in enumerate(lines, 1) if re.match(rf"{indented}['\"]?{re.escape(key)}['\"]?\s*:", line)), None
    )
    return f"{path}, line {found}" if found else str(path)


def axes_of(grid: Mapping[str, list[Any]]) -> dict[str, list[str]]:
    """Short name of each axis but the seed -> its values as text, in the order of the grid."""
    names = short_names(dict.fromkeys([*grid, SEED]))
    return {names[key]: [text(value) for value in values] for key, values in grid.items() if key != SEED}


def arm_of(values: Mapping[str, Any]) -> str:
    """What an arm is called in `seeds_for`: the names of its runs without the seed. values: by axis of the grid."""
    return "-".join(in_name(value) for key, value in values.items() if key != SEED)


def _read(path: Path) -> Any:
    """By the rules of YAML 1.2, as DVC reads it: 1e-3 is a number, 010 is ten, and `off` is a word."""
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FrostlineError(
            f"The study {path} cannot be read ({error.strerror}): name a folder with a study.yaml, or make one by "
            f"`frostline study new NAME`{hint_above(path)}."
        ) from error
    except (YAMLError, ValueError) as error:
        reason = one_line(str(error))
        if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
            reason = f"line {error.problem_mark.line + 1}: {one_line(error.problem or '').partition(' (original')[0]}"
        raise FrostlineError(f"The study {path} cannot be read ({reason}): mend it.") from error


def _grid(path: Path, grid: Any) -> dict[str, list[Any]]:
    if not isinstance(grid, dict) or not grid or not all(isinstance(v, list) and v for v in grid.values()):
        raise FrostlineError(f"{path}: 'grid' must map each axis to a list of values, such as 'task: [detection]'.")
    for key, values in grid.items():
        if not isinstance(key, str):
            raise FrostlineError(f"{path}: the grid has an axis {key!r}; an axis is a key of the configuration.")
        for value in values:
            if not is_value(value):
                raise FrostlineError(
                    f"{path}: {key} has the value '{value}' in the grid, which is a {type(value).__name__}; a value is "
                    "a number, a text (a date or the like in quotes), true, false, null, or a list of these."
                )
    return grid


def _special(path: Path, overrides_for: Any, grid: Mapping[str, list[Any]]) -> dict[tuple[str, str], list[str]]:
    if not isinstance(overrides_for, dict | None):
        raise FrostlineError(f"{path}: 'overrides_for' must map 'key=value' of the grid to a list of overrides.")
    found: dict[tuple[str, str], list[str]] = {}
    for pair, overrides in (overrides_for or {}).items():
        key, _, value = str(pair).partition("=")
        told = [text(one) for one in grid.get(key, [])]
        # 1e-3 is written as such here, too, where 0.001 is meant
        if value not in told:
            with suppress(YAMLError):
                value = text(YAML(typ="safe", pure=True).load(value))
        if value not in told:
            raise FrostlineError(f"{path}: overrides_for names '{pair}', which the grid does not have.")
        found[key, value] = _listed(path, f"overrides_for {pair}", overrides)
    return found


def _listed(path: Path, what: str, overrides: Any) -> list[str]:
    if overrides is None:
        return []
    if not isinstance(overrides, list) or not all(isinstance(one, str) for one in overrides):
        raise FrostlineError(f"{path}: '{what}' is a list of KEY=VALUE, such as [trainer.epochs=3].")
    return overrides
