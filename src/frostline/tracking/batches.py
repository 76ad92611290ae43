"""Metrics as MLflow takes them: by names that its pages sort into sections, and no more than it takes at once."""

import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from frostline.tracking.base import Epoch

PARAMS_A_CALL, METRICS_A_CALL = 100, 1000  # MLflow's limits
PARAM_LIMIT = 250  # characters; some of MLflow's stores refuse longer values


def metric_name(key: str) -> str:
    """Of a metric of the journal: `val_map` is `val/map`, so that charts of a split stand together.

    MLflow takes no other letters in names than those that are left here.
    """
    return re.sub(r"^(val|test|train(?=_loss))_", r"\1/", re.sub(r"[^\w/. -]+", "", key, flags=re.ASCII))


def log_metrics(client: Any, run: str, metrics: Mapping[str, float], step: int = 0) -> None:
    """By the names of `metric_name`."""
    log_epochs(client, run, [Epoch(step, metrics, time.time())])


def log_epochs(client: Any, run: str, epochs: Sequence[Epoch]) -> None:
    """By the names of `metric_name`, in few calls, each of whole epochs unless one has more metrics than a call takes.

    MLflow takes a call as a whole or not at all. What it has of the same time stays once.
    """
    from mlflow.entities import Metric

    calls: list[list[Any]] = [[]]
    for epoch in epochs:
        then = int(epoch.time * 1000)
        points = [Metric(metric_name(key), value, then, epoch.step) for key, value in epoch.metrics.items()]
        for some in chunks(points, METRICS_A_CALL):
            if len(calls[-1]) + len(some) > METRICS_A_CALL:
                calls.append([])
            calls[-1] += some
    for call in calls:
        client.log_batch(run, metrics=call)


def log_params(client: Any, run: str, params: Mapping[str, str]) -> None:
    """By the values of `param_value`."""
    from mlflow.entities import Param

    for some in chunks([Param(key, param_value(value)) for key, value in params.items()], PARAMS_A_CALL):
        client.log_batch(run, params=some)


def param_value(value: str) -> str:
    """As MLflow takes it."""
    return value[:PARAM_LIMIT]


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    return {key: value for key, value in metrics.items() if math.isfinite(value)}


def chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[first : first + size] for first in range(0, len(items), size))
