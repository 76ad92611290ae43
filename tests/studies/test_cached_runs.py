"""A run that reads activations from the cache is the run that computes them, to the last bit."""

import json

import pytest
import torch
from safetensors.torch import load_file

TASKS = ["classification", "localization", "detection", "segmentation"]
COMMON = ["augment.views=2", "trainer.epochs=4", "tracking.system_metrics=false"]
# The line at the head, then inside the backbone, so that both kinds of activations are kept.
PHASES = "schedule.phases=[{line: head, until: {epochs: 2}}, {line: stage3, scale: 0.2, norms: keep}]"


def filled(folder):
    return [json.loads(line)["cache_filled"] for line in (folder / "epochs.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("task", TASKS)
def test_cached_and_uncached_runs_give_the_same_figures_and_weights(train_small, task):
    overrides = [f"task={task}", PHASES, *COMMON]
    cached, one = train_small(*overrides, name="cached")
    uncached, two = train_small(*overrides, "cache.enabled=false", name="uncached")
    # 20 scenes to train, in two views, and 10 to validate: each once below the head, and once below stage3.
    # Segmentation reads every map, so what it kept in the first phase serves the second.
    assert filled(one) == ([30, 20, 0, 0] if task == "segmentation" else [30, 20, 30, 20])
    assert cached["metrics"] == uncached["metrics"]
    weights, expected = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    assert all(torch.equal(weights[key], expected[key]) for key in expected)
    again, three = train_small(*overrides, name="again")
    assert filled(three) == [0, 0, 0, 0]
    assert again["metrics"] == cached["metrics"]


