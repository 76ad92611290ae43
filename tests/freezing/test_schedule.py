import math
import re
from copy import deepcopy

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from frostline.config import compose, conf_dir
from frostline.errors import FrostlineError
from frostline.freezing.phases import parse_schedule
from frostline.freezing.schedule import (
    Plateau,
    depth_of,
    ended,
    frozen_groups,
    phase_at,
    state_at,
)

KINDS = ["weight", "norm", "bias"]


def groups_of(stages):
    return ["stem", *(f"stage{i}" for i in range(1, stages + 1)), "head"]


def labels_of(groups, kinds=KINDS, layers=("",)):
    return [f"{group}/{kind}/{group}.{layer}{kind}" for group in groups for layer in layers for kind in kinds]


GROUPS = groups_of(2)
LABELS = labels_of(GROUPS)


def parse(*phases, epochs=10, labels=LABELS):
    return parse_schedule({"name": "s", "phases": list(phases)}, epochs, labels)


def by_label(schedule, epoch):
    """The scale of every label."""
    state = state_at(schedule, epoch)
    return {label: state[part] for part, labels in schedule.parts.items() for label in labels}


# The schedules that are shipped.

SHIPPED = {
    path.stem: compose([f"schedule={path.stem}"])["schedule"] for path in (conf_dir() / "schedule").glob("*.yaml")
}


def leading(depths):
    """How many epochs the first depth lasts."""
    return next((i for i, depth in enumerate(depths) if depth != depths[0]), len(depths))


@pytest.mark.parametrize("stages", [3, 4, 5, 6])
@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_depths_of_shipped_schedules(name, stages):
    # The traps: a stage named in a schedule that smaller backbones lack, a phase that a short budget leaves no epoch.
    head = stages + 1  # its depth: the number of groups below it
    first = {"thaw": 0.3, "thaw_top": 0.3, "surgical": 0.3, "lp_ft": 0.6, "gradual": 0.15}
    first["gradual_discriminative"] = first["gradual"]
    for epochs in range(4, 31):
        schedule = parse_schedule(SHIPPED[name], epochs, labels_of(groups_of(stages)))
        depths = [depth_of(state_at(schedule, epoch)) for epoch in range(epochs)]
        if name in ("frozen", "full", "discriminative", "bitfit"):
            assert depths == [head if name == "frozen" else 0] * epochs
            continue
        only_head = leading(depths)
        assert depths[0] == head and only_head >= 1
        assert only_head == 1 or abs(only_head - first[name] * epochs) <= 0.5
        later = depths[only_head:]
        if name.startswith("gradual"):
            down = later[: later.index(0) + 1]  # one group after another, in equal steps
            lasts = [later[: len(later) - later[::-1].index(0)].count(depth) for depth in dict.fromkeys(later)][:-1]
            assert down == sorted(down, reverse=True) and set(later[len(down) :]) <= {0}
            assert not lasts or max(lasts) - min(lasts) <= 1
            if 0.55 * epochs >= stages + 2:  # there is an epoch for each
                assert list(dict.fromkeys(depths)) == list(range(head, -1, -1))
        else:
            to = {"thaw": 0, "lp_ft": 0, "thaw_top": head - 2, "surgical": 3}[name]
            assert later == [to] * len(later) and later


@pytest.mark.parametrize(
    ("epochs", "depths"),
    [
        (4, [6, 2, 0, 0]),
        (10, [6, 6, 5, 3, 2, 1, 0, 0, 0, 0]),
        (30, [6] * 4 + [5] * 3 + [4] * 3 + [3] * 2 + [2] * 3 + [1] * 3 + [0] * 12),
    ],
)
def test_gradual_in_figures(epochs, depths):
    schedule = parse_schedule(SHIPPED["gradual"], epochs, labels_of(groups_of(5)))
    assert [depth_of(state_at(schedule, epoch)) for epoch in range(epochs)] == depths


def test_scales_of_shipped_schedules():
    last = {
        name: by_label(parse_schedule(config, 20, LABELS), 19) for name, config in SHIPPED.items() if name != "surgical"
    }
    of = {name: [scales[f"{group}/weight/{group}.weight"] for group in GROUPS] for name, scales in last.items()}
    assert of == {
        "bitfit": [None, None, None, 1.0],
        "discriminative": [0.125, 0.25, 0.5, 1.0],
        "frozen": [None, None, None, 1.0],
        "full": [0.5] * 4,
        "gradual": [0.2] * 4,
        "gradual_discriminative": [0.125, 0.25, 0.5, 1.0],
        "lp_ft": [0.1] * 4,
        "thaw": [0.2] * 4,
        "thaw_top": [None, 0.3, 0.3, 0.3],
    }
    assert {last["bitfit"][f"{group}/{kind}/{group}.{kind}"] for group in GROUPS for kind in ("norm", "bias")} == {1.0}


def test_the_stage_that_surgical_trains_can_be_chosen():
    config = compose(["schedule=surgical", "schedule.group=stage1"])["schedule"]
    assert frozen_groups(state_at(parse_schedule(config, 10, LABELS), 9)) == ["stem", "stage2"]


# What a phase can say.


def test_boundaries_by_epochs_and_by_share():
    assert [p.end for p in parse({"line": "head", "until": {"epochs": 4}}, {"line": "stem"}).phases] == [4, 10]
    assert [p.end for p in parse({"line": "head", "until": {"share": 0.26}}, {"line": "stem"}).phases] == [3, 10]
    # a share too small for an epoch still gets one
    assert [p.end for p in parse({"line": "head", "until": {"share": 0.01}}, {"line": "stem"}).phases] == [1, 10]


def test_a_plateau_ends_a_phase_at_the_latest_where_at_most_says():
    until = {"plateau": "val_loss", "patience": 2, "min_delta": 0.1}
    first = parse({"line": "head", "until": until}, {"line": "stem"}).phases[0]
    assert first.end == 9 and first.plateau == Plateau("val_loss", 2, 0.1)  # an epoch is left for the next phase
    first = parse({"line": "head", "until": until | {"at_most": {"share": 0.3}}}, {"line": "stem"}).phases[0]
    assert first.end == 3


@pytest.mark.parametrize(
    ("metric", "best", "value", "better"),
    [
        ("val_loss", None, 9.0, True),
        ("val_loss", 1.0, 0.85, True),
        ("val_loss", 1.0, 0.95, False),
        ("val_loss", 1.0, 1.5, False),
        ("val_accuracy", 0.5, 0.65, True),
        ("val_accuracy", 0.5, 0.55, False),
        ("val_accuracy", 0.5, 0.2, False),
        ("val_loss", None, float("nan"), False),
        ("val_loss", float("nan"), 9.0, True),
        ("val_accuracy", 0.5, float("nan"), False),
    ],
)
def test_a_loss_is_better_lower_and_anything_else_higher(metric, best, value, better):
    assert Plateau(metric, 1, 0.1).better(value, best) == better


def test_what_patterns_tell_apart_becomes_a_part():
    schedule = parse(
        {"line": "head", "until": {"epochs": 2}},
        {"rates": {"head/.*": 1.0, r"stage2/(norm|bias)/.*": 0.5, "others": "frozen"}},
    )
    assert list(schedule.parts) == ["stem", "stage1", "stage2/weight", "stage2/norm+bias", "head"]
    state = {"stem": None, "stage1": None, "stage2/weight": None, "stage2/norm+bias": 0.5, "head": 1.0}
    assert state_at(schedule, 2) == state
    assert depth_of(state) == 2 and frozen_groups(state) == ["stem", "stage1"]


def test_layers_of_one_kind_can_be_told_apart():
    labels = ["stem/weight/a", "stem/weight/b", "stem/weight/c", "head/weight/d"]
    schedule = parse({"rates": {".*/a": 1.0, ".*/b": 2.0, ".*/c": "frozen", "head/.*": 1.0}}, labels=labels)
    assert len(schedule.parts) == 4 and set(schedule.parts.values()) == {(label,) for label in labels}
    assert by_label(schedule, 0) == dict(zip(labels, [1.0, 2.0, None, 1.0], strict=True))


def test_a_warm_up_lasts_although_the_line_moves_on():
    # The trap: a rise that jumps to its end at the next boundary.
    schedule = parse(
        {"line": "head", "until": {"epochs": 1}},
        {"line": {"from": "stage2", "to": "stage1"}, "warmup": {"epochs": 2}, "until": {"epochs": 3}},
        {"line": "stem", "scale": 0.5, "warmup": {"epochs": 1}},
    )
    states = [state_at(schedule, epoch) for epoch in (0, 1, 1.5, 2, 2.5, 3, 3.5, 4)]
    assert [state["stage2"] for state in states] == [None, 0, 0.25, 0.5, 0.75, 0.5, 0.5, 0.5]
    assert [state["stage1"] for state in states] == [None, None, None, 0, 0.25, 0.25, 0.375, 0.5]
    assert [state["stem"] for state in states] == [None] * 5 + [0, 0.25, 0.5]
    assert [state["head"] for state in states] == [1] * 5 + [0.5] * 3


# Random schedules over random models.

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
positive = st.floats(1e-3, 10)


@st.composite
def models(draw):
    """Labels of a model: groups, and layers and kinds of parameters of each."""
    groups = groups_of(draw(st.integers(1, 6)))
    kinds = st.lists(st.sampled_from(KINDS), min_size=1, max_size=3, unique=True)
    layers = st.sampled_from([["0."], ["0.", "1."], ["0.", "1.", "2."]])
    return [label for group in groups for label in labels_of([group], draw(kinds), draw(layers))]


@st.composite
def phases(draw, labels, end, first, last):
    """A phase, and the scale that it gives each label by a reading of its own (of its end, where the line moves)."""
    groups = list(dict.fromkeys(label.split("/")[0] for label in labels))
    place = st.integers(0, len(groups) - 1)
    what = draw(st.sampled_from(["line", "only", "rates", "moves"]))
    phase = {"norms": draw(st.sampled_from(["train", "keep"]))}
    if what == "rates":
        rates = st.one_of(positive, st.just("frozen"))
        by_group = [f"{group}/.*" for group in groups]
        by_kind = [f".*/{kind}/.*" for kind in sorted({label.split("/")[1] for label in labels})]
        by_layer = [rf".*\.{layer}\..*" for layer in sorted({label.split(".")[1] for label in labels})]
        apart = draw(st.sampled_from([by_group, by_kind, by_layer]))
        patterns = {pattern: draw(rates) for pattern in draw(st.lists(st.sampled_from(apart), min_size=1, unique=True))}
        if not all(any(re.fullmatch(pattern, label) for pattern in patterns) for label in labels):
            patterns["others"] = draw(rates)
        assume(any(rate != "frozen" for rate in patterns.values()))
        phase["rates"] = patterns

        def scale_of(label):
            rate = next((r for p, r in patterns.items() if re.fullmatch(p, label)), patterns.get("others"))
            return None if rate == "frozen" else rate
    else:
        scale, decay = phase.setdefault("scale", draw(positive)), phase.setdefault("decay", draw(st.floats(0.3, 1)))
        if what == "line":
            line = draw(place)
            phase["line"] = draw(st.sampled_from([groups[line], line - len(groups)]))
            chosen = groups[line:]
        elif what == "only":
            chosen = phase["only"] = draw(st.lists(st.sampled_from(groups), min_size=1, unique=True))
        else:
            bottom, top = sorted([draw(place), draw(place)])
            phase["line"] = {"from": groups[top], "to": groups[bottom]}
            chosen = groups[bottom:]

        def scale_of(label):
            group = label.split("/")[0]
            return scale * decay ** (len(groups) - 1 - groups.index(group)) if group in chosen else None

    if not first and draw(st.booleans()):
        phase["warmup"] = {"epochs": draw(st.floats(0.1, 3))}
    if not last:
        phase["until"] = {"epochs": end}
        if (what != "moves" or phase["line"]["from"] == phase["line"]["to"]) and draw(st.booleans()):
            phase["until"] = {"plateau": "val_loss", "patience": draw(st.integers(1, 3)), "at_most": {"epochs": end}}
    return phase, {label: scale_of(label) for label in labels}


@st.composite
def schedules(draw):
    """Labels, the budget, phases, the epochs at which they end, and the scales that each should end with."""
    labels, epochs = draw(models()), draw(st.integers(1, 20))
    cuts = draw(st.lists(st.integers(1, epochs - 1), unique=True, max_size=3).map(sorted)) if epochs > 1 else []
    ends = [*cuts, epochs]
    drawn = [draw(phases(labels, end, end == ends[0], end == epochs)) for end in ends]
    return labels, epochs, [phase for phase, _ in drawn], ends, [scales for _, scales in drawn]


@settings(UNHURRIED, max_examples=200)
@given(schedules(), st.floats(0, 0.999))
def test_random_schedules(drawn, fraction):
    labels, epochs, entries, ends, scales = drawn
    given_entries = deepcopy(entries)
    schedule = parse_schedule({"name": "s", "phases": entries}, epochs, labels)
    assert entries == given_entries

    # Every label lies in one part, every part in one group, and parts are as large as they can be.
    members = [label for part in schedule.parts.values() for label in part]
    assert sorted(members) == sorted(labels) and len(set(members)) == len(members)
    histories = set()
    for part, own in schedule.parts.items():
        assert own and {label.split("/")[0] for label in own} == {part.split("/")[0]}
        history = (part.split("/")[0], *(phase.scales[part] for phase in schedule.phases))
        assert history not in histories
        histories.add(history)
    assert all(phase.scales.keys() == schedule.parts.keys() for phase in schedule.phases)

    # Phases are in order and end with the budget.
    assert schedule.epochs == schedule.phases[-1].end == epochs and {phase.end for phase in schedule.phases} >= set(
        ends
    )
    assert all(a.end < b.end for a, b in zip(schedule.phases, schedule.phases[1:], strict=False))
    assert all(type(phase.end) is int and phase.end >= 1 for phase in schedule.phases)

    for epoch in range(epochs):
        state = state_at(schedule, epoch)
        assert state.keys() == schedule.parts.keys() and any(scale is not None for scale in state.values())
        again = state_at(schedule, epoch)
        again.clear()  # whoever changes what it was told changes nothing else
        assert state_at(deepcopy(schedule), epoch) == state_at(schedule, epoch) == state
        within = state_at(schedule, epoch + fraction)  # what is frozen never changes within an epoch
        assert all((within[part] is None) == (scale is None) for part, scale in state.items())
        _, phase = phase_at(schedule, epoch)
        for part, scale in within.items():
            assert scale is None or 0 <= (state[part] or 0) <= scale <= phase.scales[part]
        groups = dict.fromkeys(label.split("/")[0] for label in labels)
        assert depth_of(state) == next(i for i, group in enumerate(groups) if group not in frozen_groups(state))
    # At the end of each phase that was written, everything is as it says.
    for end, expected in zip(ends, scales, strict=True):
        phase = phase_at(schedule, end - 1)[1]
        for part, own in schedule.parts.items():
            for label in own:
                found, wanted = phase.scales[part], expected[label]
                assert found == wanted or math.isclose(found, wanted, rel_tol=1e-12)


@settings(UNHURRIED)
@given(st.integers(0, 6), st.integers(0, 6), st.integers(1, 30), st.data())
def test_a_line_that_moves_goes_down_in_equal_steps(one, other, length, data):
    groups = groups_of(5)
    bottom, top = sorted([one, other])
    phase = {"line": {"from": groups[top], "to": groups[bottom]}, "until": {"epochs": length}}
    schedule = parse(phase, {"line": "stem"}, epochs=length + 1, labels=labels_of(groups))
    depths = [depth_of(state_at(schedule, epoch)) for epoch in range(length)]
    assert depths == sorted(depths, reverse=True) and depths[-1] == bottom and depths[0] <= top
    steps = top - bottom + 1
    lasts = [depths.count(depth) for depth in range(bottom, top + 1)]
    assert sum(lasts) == length and max(lasts) <= math.ceil(length / steps) + 1
    if length >= steps:
        assert depths[0] == top and min(lasts) >= 1 and max(lasts) - min(lasts) <= 1


@settings(UNHURRIED)
@given(schedules(), st.data())
def test_a_phase_that_ends_early_makes_room_for_the_next(drawn, data):
    labels, epochs, entries, _, _ = drawn
    schedule = parse_schedule({"name": "s", "phases": entries}, epochs, labels)
    starts = [0, *(phase.end for phase in schedule.phases)]
    early = [i for i, phase in enumerate(schedule.phases) if phase.plateau and phase.end - starts[i] > 1]
    assume(early)
    number = data.draw(st.sampled_from(early))
    end = data.draw(st.integers(starts[number] + 1, schedule.phases[number].end - 1))
    before, other = deepcopy(schedule), ended(schedule, number, end)
    assert schedule == before and other.epochs == epochs and other.parts == schedule.parts
    assert [p.end for p in other.phases] == [p.end if i != number else end for i, p in enumerate(schedule.phases)]
    for epoch in range(epochs):
        now = phase_at(other, epoch)[0]
        assert now == (number + 1 if end <= epoch < schedule.phases[number].end else phase_at(schedule, epoch)[0])
    assert phase_at(other, end - 1)[0] == number


# Refusals.

HEAD, STEM = {"line": "head"}, {"line": "stem"}


def until(**what):
    return [HEAD | {"until": what}, STEM]


REFUSED = [
    ([], "no phases"),
    (3, "no phases"),
    (["head"], "phase 1 is 'head'; it is a mapping"),
    # what trains
    ([{"norms": "keep"}], "by one of line, only and rates; it has none"),
    ([HEAD | {"only": ["head"]}], "by one of line, only and rates"),
    ([{"line": "neck"}], "'neck' is no group.*stem, stage1, stage2, head"),
    ([{"line": -5}], "'-5' is no group"),
    ([{"line": 0}], "'0' is no group"),
    ([{"line": True}], "'True' is no group"),
    ([{"only": ["head", "neck"]}], "'neck' is no group"),
    ([{"only": []}], "nothing to train"),
    ([{"only": "head"}], "nothing to train.*as a list"),
    ([{"line": {"from": "stem", "to": "head"}}], "the line moves down.*swap from and to"),
    ([{"line": {"from": "head"}}], "{from: GROUP, to: GROUP}"),
    ([{"line": {"from": "head", "to": "neck"}}], "'neck' is no group"),
    # patterns
    ([{"rates": {}}], "maps patterns"),
    ([{"rates": ["head/.*"]}], "maps patterns"),
    ([{"rates": {"neck/.*": 1.0, "others": 1.0}}], "'neck/.\\*' matches no parameter.*stem/weight/stem.weight"),
    ([{"rates": {"head": 1.0, "others": 1.0}}], "'head' matches no parameter"),  # a pattern is for the whole label
    ([{"rates": {"head/(": 1.0, "others": 1.0}}], "no regular expression"),
    ([{"rates": {"head/.*": 1.0, ".*/bias/.*": 0.5, "others": "frozen"}}], "both .* match 'head/bias/head.bias'"),
    ([{"rates": {"head/.*": 1.0}}], "no pattern matches 'stem/weight/stem.weight' and 8 more"),
    ([{"rates": {".*": 1.0, "others": "frozen"}}], "'others' has none"),
    ([{"rates": {"head/.*": "frozen", "others": "frozen"}}], "nothing to train"),
    ([{"rates": {".*": "frozen"}}], "nothing to train"),
    *(
        ([{"rates": {".*": rate}}], "number above 0, or frozen")
        for rate in (0, -1, True, "fast", None, math.nan, math.inf)
    ),
    ([{"rates": {"head/.*": 1.0, "others": 0}}], "'others' has the rate 0"),
    ([{"rates": {".*": 1.0}, "scale": 0.5}], "take 'scale' away"),
    ([{"rates": {".*": 1.0}, "decay": 0.5}], "take 'decay' away"),
    # how fast
    *(([HEAD | {"scale": scale}], "above 0") for scale in (0, -1, True, "fast", None, math.nan, math.inf)),
    *(([HEAD | {"decay": decay}], "above 0") for decay in (0, -0.5, True, "slow", None, math.nan, math.inf)),
    ([{"line": "stage2", "scale": {"head": 1}}], "exactly once.*stage2"),
    ([HEAD | {"scale": {"head": 1, "stem": 1}}], "exactly once.*stem"),
    ([HEAD | {"norms": "perhaps"}], "norms is 'perhaps'; choose train or keep"),
    *(
        ([HEAD | {"warmup": warmup}], "warmup")
        for warmup in (
            2,
            "long",
            {"steps": 3},
            {"epochs": -1},
            {"share": 1.5},
            {"epochs": math.nan},
            {"epochs": math.inf},
        )
    ),
    ([HEAD | {"warmup": {"epochs": 1}}], "nothing has thawed yet"),
    # until when
    ([HEAD, STEM], "must say until when"),
    ([HEAD | {"until": {"epochs": 5}}], "last one"),
    (until(share=1.5), "share lies between 0 and 1"),
    (until(share=True), "share lies between 0 and 1"),
    (until(epochs=0), "epochs above 0"),
    (until(epochs=2.5), "ends with a whole epoch"),
    (until(epochs=math.inf), "epochs above 0"),
    (until(epochs=2, share=0.5), "write '{epochs: 3}'"),
    (until(epochs=10), "end at epoch 10.*budget is 10"),
    (until(epochs=11), "end at epoch 11.*budget is 10"),
    (
        [HEAD | {"until": {"epochs": 5}}, HEAD | {"until": {"epochs": 4}}, STEM],
        "phase 2 would end at epoch 4, before the phase above it, at 5",
    ),
    (
        [HEAD | {"until": {"share": 0.5}}, HEAD | {"until": {"share": 0.3}}, STEM],
        "phase 2 would end at epoch 3, before the phase above it, at 5",
    ),
    ([HEAD | {"until": {"epochs": 5}}, HEAD | {"until": {"epochs": 5}}, STEM], "phase 2 would end at epoch 5"),
    ([HEAD | {"until": {"share": 0.99}}, STEM], "end at epoch 10"),
    *((until(plateau="val_loss", patience=patience), "patience") for patience in (0, -1, 1.5, True, "long", None)),
    *(
        (until(plateau="val_loss", min_delta=delta), "min_delta")
        for delta in (-0.1, True, "small", None, math.nan, math.inf)
    ),
    (until(plateau="val_loss", at_most={"epochs": 10}), "end at epoch 10"),
    (until(plateau="val_loss", epochs=3), "until has an unknown key 'epochs'"),
    ([{"line": {"from": -2, "to": "stem"}, "until": {"plateau": "val_loss"}}, STEM], "cannot wait for a plateau"),
    # a word that is none
    ([HEAD | {"speed": 1}], "unknown key 'speed'.*are known"),
]


@pytest.mark.parametrize(
    ("entries", "words"), REFUSED, ids=[f"{i}-{words[:20]}" for i, (_, words) in enumerate(REFUSED)]
)
def test_faulty_schedules_are_refused_in_one_sentence(entries, words):
    with pytest.raises(FrostlineError, match=words) as refused:
        parse_schedule({"name": "s", "phases": entries}, 10, LABELS)
    said = str(refused.value)
    assert said.startswith("schedule 's'") and said.endswith(".") and "\n" not in said and len(said) < 300


def test_a_plateau_of_what_the_task_does_not_log_is_refused(tiny):
    # The trap: a phase that waits for a word misspelt, found out only after the first epoch.
    with pytest.raises(FrostlineError, match="'val_acuracy', which this task does not log; it logs .*val_accuracy"):
        tiny.make(until(plateau="val_acuracy"), 10)
    for metric in ("val_accuracy", "val_loss", "train_loss"):
        tiny.make(until(plateau=metric), 10)
