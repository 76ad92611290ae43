"""What lies below the line is computed by folded copies, which nobody else sees, and gives the same from every way.

What lies above it has its batch norms folded in each pass, where they keep their statistics.
"""

import copy
from itertools import product

import pytest
import torch
from helpers.tiny import small_backbone
from torch.nn.modules.batchnorm import _BatchNorm

from frostline.freezing.schedule import Phase, Schedule, depth_of, lines_ahead, state_at

LINES = [{"line": "stage4", "until": {"epochs": 1}}, {"line": "stage2", "until": {"epochs": 2}}, {"line": "stem"}]


def live(task):
    """With statistics and weights as training leaves them."""
    for module in task.modules():
        if isinstance(module, _BatchNorm):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return task


@pytest.fixture(params=["torch", "onnxruntime"])
def task(tiny, request):
    task = tiny.make(LINES, 3)
    task.model.below_by = request.param
    return live(task).train()


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


KEPT = [
    ({"line": "stem", "norms": "keep"}, ["stem", "stage1", "stage2", "stage3", "stage4", "stage5"]),
    ({"line": "stage4", "norms": "keep"}, ["stage4", "stage5"]),
    ({"only": ["stage3", "head"]}, ["stage4", "stage5"]),  # frozen, above one that gathers statistics
    ({"line": "stem"}, []),
]


@pytest.mark.parametrize(("phase", "folded"), KEPT)
def test_norms_above_the_line_are_folded_where_they_keep_their_statistics(tiny, phase, folded):
    # Catches one that is folded though it gathers statistics, and steps that go elsewhere.
    task, plain = (tiny.make([phase], 1).double() for _ in range(2))
    live(task)
    plain.load_state_dict(task.state_dict())
    plain.model.folds = False
    pictures = torch.rand(4, 3, 8, 8, dtype=torch.double)
    seen = []
    for one in (task, plain):
        depth = depth_of(one.train().model.move_line(0))
        convolved = {}  # above the line
        for group in list(one.model.groups)[depth:-1]:
            first = next(m for m in one.model.groups[group][0].modules() if isinstance(m, torch.nn.Conv2d))
            first.register_forward_hook(lambda *given, group=group, kept=convolved: kept.update({group: given[2]}))
        seen.append(convolved)
    descents = [torch.optim.SGD(one.model.parameters(), 0.1, momentum=0.9) for one in (task, plain)]
    for _ in range(3):
        for one, descent in zip((task, plain), descents, strict=True):
            descent.zero_grad()
            one.model(pictures).square().sum().backward()
            descent.step()
        unlike = [name for name in seen[1] if not torch.allclose(seen[0][name], seen[1][name])]
        assert unlike == folded
    for name, value in plain.model.state_dict().items():
        torch.testing.assert_close(task.model.state_dict()[name], value, rtol=1e-9, atol=1e-11)
    task.model.load_state_dict(plain.model.state_dict())
    task.model.forget_line()
    assert torch.equal(task.eval().model(pictures), plain.eval().model(pictures))
    task.train()


def test_what_is_measured_without_a_line_is_not_folded(tiny, pictures):
    # Catches figures that whoever loads the weights would not find to the last digit.
    task = live(tiny.make([{"line": "stem", "norms": "keep"}], 1))
    plain = copy.deepcopy(task.model).eval()
    task.train().model.move_line(0)
    for mode in (True, False):
        assert torch.allclose(task.train(mode).model(pictures), plain(pictures), rtol=1e-5, atol=1e-6)
        assert not torch.equal(task.model(pictures), plain(pictures))
    task.model.forget_line()
    assert torch.equal(task.model(pictures), plain(pictures))


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
