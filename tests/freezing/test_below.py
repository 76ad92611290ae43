"""What lies below the line is computed by folded copies, which nobody else sees, and gives the same from every way."""

import copy
from itertools import product

import pytest
import torch
from helpers.tiny import small_backbone
from torch.nn.modules.batchnorm import _BatchNorm

from frostline.freezing.schedule import Phase, Schedule, depth_of, lines_ahead, state_at

LINES = [{"line": "stage4", "until": {"epochs": 1}}, {"line": "stage2", "until": {"epochs": 2}}, {"line": "stem"}]


@pytest.fixture(params=["torch", "onnxruntime"])
def task(tiny, request):
    """With statistics and weights as training leaves them."""
    task = tiny.make(LINES, 3)
    task.model.below_by = request.param
    for module in task.modules():
        if isinstance(module, _BatchNorm):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return task.train()


@pytest.fixture
def pictures():
    return torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_the_network_under_a_line_is_what_lies_above_on_what_lies_below(task, pictures):
    # Catches a way that computes below the line without the folded copy, which is a few last digits off.
    model = task.model
    plain = copy.deepcopy(model).eval()
    for epoch, depth in ((0, 4), (1, 2)):
        model.move_line(epoch)
        task.eval()
        with torch.inference_mode():
            validated = model(pictures)
        task.train()
        with torch.no_grad():
            kept = model.below(pictures, model.activations(depth))
            whole = plain.below(pictures, model.activations(depth))
            assert torch.equal(validated, task.eval().model.above(kept, depth))
        assert torch.equal(model(pictures), validated)  # with a graph above the line
        assert all(torch.allclose(kept[name], whole[name], rtol=1e-5, atol=1e-6) for name in whole)
        assert not all(torch.equal(kept[name], whole[name]) for name in whole)  # it is folded
        assert torch.allclose(validated, plain(pictures), rtol=1e-5, atol=1e-6)
        task.train()


def test_what_is_computed_at_a_lower_line_is_the_same_from_a_higher_one(task, pictures):
    # Catches a norm that is folded across a cut: kept on the way to a higher line it would be another one.
    model = task.model
    names = {depth: model.activations(depth) for depth in (2, 4)}
    model.move_line(0)
    higher = model.below(pictures, [*names[4], *names[2]])
    model.move_line(1)
    assert torch.equal(higher[names[2][0]], model.below(pictures, names[2])[names[2][0]])


def test_nobody_sees_the_copies(task, pictures):
    # Catches copies that come into checkpoints, optimizers or other processes.
    model = task.model
    before = [set(model.state_dict()), len(list(model.parameters())), len(list(model.buffers()))]
    model.move_line(0)
    model(pictures)
    assert [set(model.state_dict()), len(list(model.parameters())), len(list(model.buffers()))] == before


def test_a_copy_goes_where_its_own_weights_are_others(task, pictures):
    # Catches a copy that outlives a thaw, a checkpoint that is loaded, or the line itself.
    model = task.model
    model.move_line(0)
    model(pictures)
    other = {name: value + 0.1 if value.is_floating_point() else value for name, value in model.state_dict().items()}
    plain = copy.deepcopy(model).eval()
    plain.forget_line()
    plain.load_state_dict(other)
    model.load_state_dict(other)
    assert torch.allclose(model.eval()(pictures), plain(pictures), rtol=1e-5, atol=1e-6)
    model.move_line(2)  # all of it trains
    with torch.no_grad():
        for parameter in [*model.parameters(), *plain.parameters()]:
            parameter.mul_(1.1)
    model.move_line(0)  # and is frozen again
    assert torch.allclose(model.eval()(pictures), plain(pictures), rtol=1e-5, atol=1e-6)
    model.forget_line()
    assert torch.equal(model(pictures), plain(pictures))


def test_a_test_is_of_the_weights_alone(tiny):
    # Catches a test that goes on below the last epoch's line: whoever loads the weights would find other last digits.
    task = tiny.make([{"line": "stage3"}], 1, lambda: small_backbone("batch"))
    trainer = tiny.fit(task, 1, size=64)
    assert trainer.current_epoch == 1
    pictures = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    plain = tiny.make([{"line": "stage3"}], 1, lambda: small_backbone("batch")).model
    plain.load_state_dict(task.model.state_dict())
    with torch.no_grad():
        assert torch.equal(task.model.eval()(pictures), plain.eval()(pictures))


def test_lines_ahead():
    # Against the definition: an epoch's line is ahead where it is lower, and nothing below it trains until then.
    parts = ["a", "b", "c"]
    for depths in product(range(4), repeat=4):
        phases = [
            Phase({part: None if i < depth else 1.0 for i, part in enumerate(parts)}, "train", 0.0, end)
            for end, depth in enumerate(depths, 1)
        ]
        schedule = Schedule("s", tuple(phases), {part: (part,) for part in parts})
        assert [depth_of(state_at(schedule, epoch)) for epoch in range(4)] == list(depths)
        for epoch in range(4):
            expected = {}
            for later in range(epoch + 1, 4):
                if 0 < depths[later] < depths[epoch] and min(depths[epoch:later]) >= depths[later]:
                    expected.setdefault(depths[later], []).append(later)
            found = lines_ahead(schedule, epoch)
            assert found == expected and list(found) == sorted(found, reverse=True), depths
