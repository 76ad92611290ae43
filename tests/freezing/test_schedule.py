import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.config import compose
from frostline.errors import FrostlineError
from frostline.freezing.schedule import depth_of, parse_schedule, state_at

GROUPS = ["stem", "stage1", "stage2", "head"]


def parse(*phases, epochs=10):
    return parse_schedule({"name": "s", "phases": list(phases)}, epochs, GROUPS)


@pytest.mark.parametrize(
    ("name", "depths"),
    [("frozen", [3] * 10), ("full", [0] * 10), ("thaw", [3] * 3 + [0] * 7)],
)
def test_shipped_schedules(name, depths):
    config = compose([f"schedule={name}"])["schedule"]
    schedule = parse_schedule(config, 10, GROUPS)
    assert [depth_of(state_at(schedule, epoch, GROUPS)) for epoch in range(10)] == depths


def test_thaw_lowers_the_rate_of_everything():
    schedule = parse_schedule(compose(["schedule=thaw"])["schedule"], 10, GROUPS)
    assert state_at(schedule, 0, GROUPS) == {"stem": None, "stage1": None, "stage2": None, "head": 1.0}
    assert max(state_at(schedule, 3, GROUPS).values()) <= 0.2


def test_boundaries_by_epochs_and_by_share():
    assert [p.end for p in parse({"line": "head", "until": {"epochs": 4}}, {"line": "stem"}).phases] == [4, None]
    assert [p.end for p in parse({"line": "head", "until": {"share": 0.26}}, {"line": "stem"}).phases] == [3, None]
    # a share too small for an epoch still gets one
    assert [p.end for p in parse({"line": "head", "until": {"share": 0.01}}, {"line": "stem"}).phases] == [1, None]


@given(
    cuts=st.lists(st.integers(1, 29), unique=True, max_size=4).map(sorted),
    lines=st.lists(st.sampled_from(GROUPS), min_size=5, max_size=5),
    scale=st.floats(1e-6, 10),
)
def test_state_is_pure_and_covers_every_group(cuts, lines, scale):
    phases = [{"line": line, "scale": scale, "until": {"epochs": cut}} for cut, line in zip(cuts, lines, strict=False)]
    schedule = parse(*phases, {"line": lines[-1], "scale": scale}, epochs=30)
    states = [state_at(schedule, epoch, GROUPS) for epoch in range(30)]
    assert states == [state_at(schedule, epoch, GROUPS) for epoch in range(30)]
    for epoch, state in enumerate(states):
        assert list(state) == GROUPS
        line = next((lines[i] for i, cut in enumerate(cuts) if epoch < cut), lines[-1])
        frozen = [group for group, value in state.items() if value is None]
        assert frozen == GROUPS[: GROUPS.index(line)] and depth_of(state) == len(frozen)


@pytest.mark.parametrize(
    ("phases", "words"),
    [
        ([], "no phases"),
        ([{"line": "neck"}], "'neck' is no group.*stem, stage1, stage2, head"),
        ([{"line": "head"}, {"line": "stem"}], "must say until when"),
        ([{"line": "head", "until": {"share": 1.5}}, {"line": "stem"}], "share lies between 0 and 1"),
        ([{"line": "head", "until": {"epochs": 10}}, {"line": "stem"}], "end at epoch 10.*budget is 10"),
        (
            [{"line": "head", "until": {"epochs": 5}}, {"line": "head", "until": {"epochs": 4}}, {"line": "stem"}],
            "phase 2 would end at epoch 4, but it starts at 5",
        ),
        ([{"line": "head", "until": {"epochs": 5}}], "last one"),
        ([{"line": "head", "scale": 0}], "above 0"),
        ([{"line": "head", "speed": 1}], "unknown key 'speed'"),
        ([{"line": "head", "norms": "perhaps"}], "norms is 'perhaps'; choose train or keep"),
        ([{"line": "stage2", "scale": {"head": 1}}], "exactly once.*stage2"),
        ([{"line": "head", "scale": {"head": 1, "stem": 1}}], "exactly once.*stem"),
    ],
)
def test_faulty_schedules_are_refused(phases, words):
    with pytest.raises(FrostlineError, match=words):
        parse(*phases)
