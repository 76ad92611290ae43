"""What a study states before its runs: the metric that decides, the difference that matters, what is expected."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from frostline.errors import FrostlineError
from frostline.studies.axes import text
from frostline.words import listed, one_line

ByTask = Mapping[str | None, Any]  # None: every task that is not named
Place = Callable[[str], str]  # a key of study.yaml -> where it stands


@dataclass(frozen=True)
class Expected:
    """text: in words. best: short name of an axis -> its value, as text, of the arm that is expected to come out best.

    range: between which two values its metric is expected to lie, both included.
    """

    text: str = ""
    best: Mapping[str, str] = field(default_factory=dict)
    range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Stated:
    """metric: the primary metric. margin: the smallest difference that matters, in its unit. Each by task."""

    metric: ByTask = field(default_factory=dict)
    margin: ByTask = field(default_factory=dict)
    expected: ByTask = field(default_factory=dict)

    def metric_of(self, task: str) -> str | None:
        found: str | None = _of(self.metric, task)
        return found

    def margin_of(self, task: str) -> float | None:
        found: float | None = _of(self.margin, task)
        return found

    def expected_of(self, task: str) -> Expected | None:
        found: Expected | None = _of(self.expected, task)
        return found

    @property
    def tasks(self) -> dict[str, str]:
        """Each task that is named -> the key that names it first."""
        named = {"metric": self.metric, "margin": self.margin, "expected": self.expected}
        return {task: key for key, values in reversed(named.items()) for task in values if task is not None}

    @property
    def words(self) -> str:
        """The expectation as one text; empty where there is none."""
        told = [f"{task}: {_told(one)}" if task else _told(one) for task, one in self.expected.items()]
        return " ".join(told) if len(told) < 2 else "; ".join(told)

    def plain(self) -> dict[str, Any]:
        """As JSON and YAML can hold it: key -> task, "" for every task, -> what is stated."""
        expected = {
            task: {"text": e.text, "best": dict(e.best), "range": e.range and [*e.range]}
            for task, e in self.expected.items()
        }
        all_of = {"metric": self.metric, "margin": self.margin, "expected": expected}
        return {key: {task or "": value for task, value in values.items()} for key, values in all_of.items()}


def read_stated(content: Mapping[str, Any], axes: Mapping[str, list[str]], at: Place) -> Stated:
    """The keys metric, margin and expected of study.yaml.

    axes: short name of each axis of the grid but the seed -> its values as text. Raises FrostlineError where one of
    them says what it cannot.
    """
    metric = _by_task(content.get("metric"), lambda value: _name(value, at("metric")))
    margin = _by_task(content.get("margin"), lambda value: _margin(value, at("margin")))
    expected = content.get("expected")
    if isinstance(expected, dict) and set(expected) & {"text", "best", "range"}:
        return Stated(metric, margin, {None: _expected(expected, axes, at("expected"))})
    return Stated(metric, margin, _by_task(expected, lambda value: _expected(value, axes, at("expected"))))


def _of(values: ByTask, task: str) -> Any:
    return values.get(task, values.get(None))


def _by_task(value: Any, read: Callable[[Any], Any]) -> ByTask:
    if value is None or value == "":
        return {}
    if isinstance(value, dict):
        return {str(task): read(one) for task, one in value.items()}
    return {None: read(value)}


def _name(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise FrostlineError(f"{place}: 'metric' is {value!r}; it is the name of a metric, or task: name.")
    return value


def _margin(value: Any, place: str) -> float:
    if not _is_number(value) or value <= 0:
        raise FrostlineError(
            f"{place}: 'margin' is {value!r}; it is the smallest difference of the metric that matters, a number above "
            "0 such as 0.01, or task: number."
        )
    return float(value)


def _expected(value: Any, axes: Mapping[str, list[str]], place: str) -> Expected:
    if isinstance(value, str):
        return Expected(one_line(value))
    if not isinstance(value, dict) or (unknown := sorted(map(str, set(value) - {"text", "best", "range"}))):
        what = f"has the key '{unknown[0]}'" if isinstance(value, dict) else f"is {value!r}"
        raise FrostlineError(
            f"{place}: 'expected' {what}; it is a text, or text, best (axis: value) and range ([low, high]), each by "
            "task where there are several."
        )
    best = value.get("best") or {}
    if not isinstance(best, dict):
        raise FrostlineError(f"{place}: 'best' is {best!r}; it is axis: value, such as 'schedule: thaw'.")
    told = {_axis(str(axis), axes): text(one) for axis, one in best.items()}
    for axis, one in told.items():
        if one not in axes.get(axis, []):
            has = f"has {listed(axes[axis])}" if axis in axes else f"has the axes {listed([*axes]) or 'none'}"
            raise FrostlineError(f"{place}: 'best' names {axis}={one}, and the grid {has}.")
    return Expected(one_line(str(value.get("text") or "")), told, _range(value.get("range"), place))


def _axis(name: str, axes: Mapping[str, list[str]]) -> str:
    """Its short name, also where the whole key is written."""
    end = name.removesuffix(".name").rsplit(".", 1)[-1].rsplit("/", 1)[-1]
    return name if name in axes or end not in axes else end


def _range(value: Any, place: str) -> tuple[float, float] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2 or not all(map(_is_number, value)) or value[0] > value[1]:
        raise FrostlineError(f"{place}: 'range' is {value!r}; it is two numbers, the lower first, such as [0.8, 0.9].")
    return float(value[0]), float(value[1])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _told(expected: Expected) -> str:
    best = ", ".join(f"{axis}={value}" for axis, value in expected.best.items())
    span = f"between {expected.range[0]:g} and {expected.range[1]:g}" if expected.range else ""
    facts = ", ".join(filter(None, (f"best {best}" if best else "", span)))
    return f"{expected.text} ({facts})" if expected.text and facts else expected.text or facts
