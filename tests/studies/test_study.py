"""What study.yaml says, and what of it is refused."""

import pytest

from frostline.errors import FrostlineError
from frostline.studies.plan import compose_runs
from frostline.studies.study import read_study


def study(folder, text):
    (folder / "study.yaml").write_text(text)
    return read_study(folder)


def test_a_study_says_what_was_asked_and_expected(tmp_path):
    told = study(tmp_path, "question: which?\nexpected: >-\n  the second,\n  by far\ngrid: {seed: [0]}")
    assert (told.question, told.expected) == ("which?", "the second, by far")
    bare = study(tmp_path, "question:\ngrid: {seed: [0]}")
    assert (bare.question, bare.expected) == ("", "")


@pytest.mark.parametrize(
    ("written", "name", "run"),
    [
        ("optimizer.lr: [1e-3]", "0.001", ("optimizer", "lr", 0.001)),
        ("optimizer.lr: [1e-05]", "1e-05", ("optimizer", "lr", 0.00001)),
        ("trainer.epochs: [010]", "10", ("trainer", "epochs", 10)),
        ("augment.views: [null]", "null", ("augment", "views", None)),
        ("cache.enabled: [false]", "false", ("cache", "enabled", False)),
        ("schedule.name: ['010']", "010", ("schedule", "name", "010")),
        ("schedule.name: ['null']", "null", ("schedule", "name", "null")),
        ('schedule.name: ["it\'s a {b}"]', "it_s_a_b_", ("schedule", "name", "it's a {b}")),
        ("dataset.name: ['a\\b']", "a_b", ("dataset", "name", "a\\b")),
        ("backbone.name: [hf-hub:timm/x]", "hf-hub_timm_x", ("backbone", "name", "hf-hub:timm/x")),
    ],
)
def test_a_value_of_the_grid_is_what_is_trained(tmp_path, written, name, run):
    """Catches 1e-3 read as text, and a text that becomes a number on its way through the overrides."""
    runs = compose_runs(study(tmp_path, f"grid: {{{written}}}"))
    group, key, value = run
    assert list(runs) == [name] and runs[name][group][key] == value
    assert type(runs[name][group][key]) is type(value)


def test_a_list_can_be_a_value(tmp_path):
    runs = compose_runs(
        study(tmp_path, "grid: {head.decoder_channels: [[64, 32], [32, 16]]}\noverrides: [task=segmentation]")
    )
    assert [config["head"]["decoder_channels"] for config in runs.values()] == [[64, 32], [32, 16]]
    assert [config["arm"] for config in runs.values()] == [
        {"decoder_channels": "[64,32]"},
        {"decoder_channels": "[32,16]"},
    ]


def test_overrides_for_a_value_are_found_however_it_is_written(tmp_path):
    text = "grid: {optimizer.lr: [1e-3, 0.01], augment.views: [null, 2]}\n"
    text += "overrides_for: {optimizer.lr=1e-3: [seed=5], augment.views=null: [image_size=64]}"
    runs = compose_runs(study(tmp_path, text))
    assert {name: config["seed"] for name, config in runs.items()} == {
        "0.001-null": 5, "0.001-2": 5, "0.01-null": 0, "0.01-2": 0,
    }  # fmt: skip
    assert runs["0.01-null"]["image_size"] == 64 != runs["0.01-2"]["image_size"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("grid: {task: []}", "'grid' must map each axis to a list"),
        ("question: x", "'grid' must map"),
        ("grids: {seed: [0]}", "unknown key 'grids'"),
        ("- a", "is not a mapping"),
        ("question: x\ngrid: [", r"study.yaml cannot be read \(line 2: "),
        ("question: x\ngrid:\n  task: [detection]\n  task: [segmentation]", r"line 4: found duplicate key \"task\""),
        ("question: a: b", r"line 1: mapping values are not allowed"),
        ("grid: {seed: [2024-01-01]}", "seed has the value '2024-01-01' in the grid, which is a date"),
        ("grid: {seed: [{a: 1}]}", "which is a dict"),
        ("grid: {seed: ['']}", "seed has the value ''"),
        ("grid: {1: [0]}", "the grid has an axis 1"),
        ("grid: {seed: [0]}\noverrides_for: {seed=1: [image_size=64]}", "'seed=1', which the grid does not have"),
        ("grid: {seed: [0]}\noverrides_for: {'seed=[': [image_size=64]}", r"'seed=\[', which the grid does not have"),
        ("grid: {seed: [0]}\noverrides_for: {seed=0: image_size=64}", "'overrides_for seed=0' is a list of KEY=VALUE"),
        ("grid: {seed: [0]}\noverrides_for: [seed=0]", "'overrides_for' must map"),
        ("grid: {seed: [0]}\noverrides: [image_size: 64]", "'overrides' is a list of KEY=VALUE"),
        ("grid: {seed: [0, 0]}", "two runs would be called '0'"),
        ("grid: {task: [nope]}", "run nope: 'nope' is no task"),
        ("grid: {seed: [0]}\noverrides: [imagesize=3]", "no configuration key 'imagesize'"),
    ],
)
def test_a_faulty_study_is_refused(tmp_path, text, words):
    with pytest.raises(FrostlineError, match=words):
        compose_runs(study(tmp_path, text))


def test_a_missing_study_is_named(tmp_path):
    with pytest.raises(FrostlineError, match="nowhere/study.yaml cannot be read .*: name a folder with a study.yaml"):
        read_study(tmp_path / "nowhere")
