"""No run is lost, invented, or taken for another."""

import json
import shutil

import pytest
from helpers.study import axes_of, made_run, write_run, write_study

from frostline.checking.prepare import prepare
from frostline.errors import FrostlineError
from frostline.report.results import read_results

GRID = {"task": ["classification"], "schedule": ["thaw", "frozen"], "seed": [0, 1]}


def runs():
    return [made_run(schedule=schedule, seed=seed) for schedule in ("frozen", "thaw") for seed in (1, 0)]


def read(root):
    return read_results(root / "experiments/s", root / "runs/s")


def edit(root, name, **changes):
    file = root / "runs/s/results" / name / "result.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_runs_come_in_the_order_of_the_grid_with_their_folders_and_epochs(tmp_path):
    write_study(tmp_path, GRID, runs())
    results = read(tmp_path)
    order = [("thaw", 0), ("thaw", 1), ("frozen", 0), ("frozen", 1)]
    assert [(run.axes["schedule"], run.result.seed) for run in results.runs] == order
    assert results.study.axes == {"task": ["classification"], "schedule": ["thaw", "frozen"]}
    for run in results.runs:
        assert run.folder.name == run.result.run and run.result.names["schedule"] in run.folder.name
        assert run.epochs == made_run(schedule=run.axes["schedule"], seed=run.result.seed).epochs


def test_values_that_are_not_text_in_the_grid_are_found_in_its_order(tmp_path):
    made = [made_run(axes={"image_size": size, "pretrained": "false"}) for size in ("96", "160")]
    write_study(tmp_path, {"image_size": [160, 96], "backbone.pretrained": [False], "seed": [0]}, made)
    assert [run.axes["image_size"] for run in read(tmp_path).runs] == ["160", "96"]
    assert {run.axes["pretrained"] for run in read(tmp_path).runs} == {"false"}


def test_a_result_from_before_arms_were_written_has_its_axes_from_its_names(tmp_path):
    write_study(tmp_path, {"schedule": ["thaw"], "head": ["linear"], "seed": [0]}, [made_run()])
    file = next((tmp_path / "runs/s/results").glob("*/result.json"))
    told = json.loads(file.read_text())
    file.write_text(json.dumps({k: v for k, v in (told | told["names"]).items() if k not in ("arm", "names")}))
    assert read(tmp_path).runs[0].axes == {"schedule": "thaw", "head": "linear"}


def test_a_result_that_does_not_say_where_it_lies_on_an_axis_is_named(tmp_path):
    write_study(tmp_path, {"schedule": ["thaw"], "trainer.epochs": [2], "seed": [0]}, [made_run()])
    with pytest.raises(FrostlineError, match=r"thaw-0/result\.json does not say its epochs, which is an axis"):
        read(tmp_path)


def test_a_planned_run_without_result_is_missing_and_one_that_is_not_planned_ignored(tmp_path):
    write_study(tmp_path, GRID, [*runs(), made_run(schedule="stale")])
    gone, stale = (made_run(schedule=schedule).result.run for schedule in ("thaw", "stale"))
    shutil.rmtree(tmp_path / "runs/s/results" / gone)
    (tmp_path / f"runs/s/plan/{stale}.yaml").unlink()
    results = read(tmp_path)
    assert (len(results.planned), results.missing, len(results.runs)) == (4, [gone], 3)
    assert "stale" not in {run.axes["schedule"] for run in results.runs}


def test_runs_that_differ_in_what_no_axis_says_are_not_mixed_into_one_arm(tmp_path):
    first, second = made_run(seed=0), made_run(seed=1)
    write_study(tmp_path, GRID, [first, second])
    edit(tmp_path, second.result.run, seed=0)
    with pytest.raises(FrostlineError, match=f"{first.result.run} and {second.result.run} of study s have the same"):
        read(tmp_path)
    edit(tmp_path, second.result.run, seed=1, names=first.result.names | {"head": "mlp"})
    with pytest.raises(FrostlineError, match="differ in more than their seed"):
        read(tmp_path)


def test_a_study_without_plan_results_or_sound_results_says_so(tmp_path):
    write_study(tmp_path, GRID, runs())
    broken = tmp_path / "runs/s/results" / made_run().result.run / "result.json"
    edit(tmp_path, broken.parent.name, run="x")
    with pytest.raises(FrostlineError, match="is the result of a run x; delete it"):
        read(tmp_path)
    broken.write_text("{")
    with pytest.raises(FrostlineError, match=r"thaw-0/result\.json is not valid JSON"):
        read(tmp_path)
    shutil.rmtree(tmp_path / "runs/s/results")
    with pytest.raises(FrostlineError, match="No planned run of study s has a result"):
        read(tmp_path)
    shutil.rmtree(tmp_path / "runs/s/plan")
    with pytest.raises(FrostlineError, match="There is no plan"):
        read(tmp_path)
    with pytest.raises(FrostlineError, match=r"other/study\.yaml cannot be read"):
        read_results(tmp_path / "experiments/other", tmp_path / "runs/s")


@pytest.mark.parametrize("line", ["{}", "[]", "{", '{"epoch": 1, "images_seen": 1, "train_seconds": 1}'])
def test_a_line_that_is_no_epoch_is_named(tmp_path, line):
    write_study(tmp_path, GRID, [made_run()])
    (tmp_path / "runs/s/results" / made_run().result.run / "epochs.jsonl").write_text(line + "\n")
    with pytest.raises(FrostlineError, match=r"Line 1 of .*thaw-0/epochs\.jsonl is not an epoch"):
        read(tmp_path)


def test_a_run_without_a_journal_has_no_epochs(tmp_path):
    write_study(tmp_path, GRID)
    (write_run(tmp_path, made_run()) / "epochs.jsonl").unlink()
    assert read(tmp_path).runs[0].epochs == ()


def test_what_a_dataset_derived_is_known_where_it_is_prepared_here(tmp_path, drawn, listed):
    write_study(tmp_path, GRID, runs())
    assert read(tmp_path).derived == {"meadow": None}
    source = listed(drawn(30))
    source.derived = {"boxes": "drawn around the masks"}
    prepare(source, tmp_path / "runs/s/data/meadow", name="meadow")
    assert read(tmp_path).derived == {"meadow": {"boxes": "drawn around the masks"}}


def test_milliseconds_belong_to_a_network_and_not_to_a_schedule(tmp_path):
    # Catches arms of one network that seem to differ in speed because one was timed in a busier hour.
    runs = [
        made_run(schedule=schedule, backbone=backbone, predict_ms=ms)
        for (schedule, backbone), ms in zip(
            [("thaw", "net"), ("frozen", "net"), ("full", "net"), ("thaw", "large")],
            (31.0, 18.0, 62.0, 80.0),
            strict=True,
        )
    ]
    study = write_study(tmp_path, axes_of(runs) | {"seed": [0]}, runs)
    found = read_results(study, tmp_path / "runs/s")
    assert {run.result.names["backbone"]: run.result.predict_ms for run in found.runs} == {"net": 31.0, "large": 80.0}
    network = runs[0].result.network
    assert found.speeds[network] == (31.0, 18.0, 62.0, 3, False)
    (tmp_path / "runs/s/speed.json").write_text(json.dumps({"machine": "m", "networks": {network: [9.0, 8.0, 11.0]}}))
    found = read_results(study, tmp_path / "runs/s")
    assert found.speeds[network] == (9.0, 8.0, 11.0, 3, True)
    assert {run.result.predict_ms for run in found.runs} == {9.0, 80.0}


def test_arms_come_in_the_order_of_the_grid_in_every_process(tmp_path):
    # Catches an order that is another whenever Python is started, as that of a set is: reports would differ each time.
    axes = ["schedule", "backbone", "image_size", "mix", "fit", "lr"]
    runs = [made_run(axes={**dict.fromkeys(axes, "a"), "backbone": name}) for name in ("b", "a")]
    study = write_study(tmp_path, {axis: ["a"] for axis in axes} | {"backbone": ["b", "a"], "seed": [0]}, runs)
    found = read_results(study, tmp_path / "runs/s").runs
    assert [list(run.axes) for run in found] == [sorted(axes)] * 2  # as the file has them
