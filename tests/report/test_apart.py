from dataclasses import replace

import numpy as np
import pytest
from helpers.study import made_run, panel_of

from frostline.report.apart import GAP, SIDE, apart_sheet
from frostline.report.compared import against_candidate, apart
from frostline.report.judged import judge
from frostline.report.tested import pictures_of
from frostline.runs.tested import PICTURES, write_rows

SEEDS = range(3)


def panel_with_rows(root, ids, right):
    """right: schedule -> whether its seeds are right on each picture."""
    runs = []
    for schedule, by_seed in right.items():
        for seed in SEEDS:
            folder = root / f"{schedule}-{seed}"
            folder.mkdir()
            rows = [
                {"id": i, "loss": 1.0, "mistake": 0.0, "quality": float(q)}
                for i, q in zip(ids, by_seed[seed], strict=True)
            ]
            write_rows(folder / PICTURES, rows, "accuracy", ["a", "b"])
            value = float(np.mean(by_seed[seed]))
            runs.append(made_run(schedule=schedule, seed=seed, value=value, folder=folder, best_epoch=0))
    return panel_of(*runs)


@pytest.fixture
def two(tmp_path, dataset):
    ids = [scene.id for scene in dataset.scenes("test")]
    one = [[n != 0 for n in range(len(ids))]] * 3
    other = [[n not in (1, 2) or (n == 2 and seed == 0) for n in range(len(ids))] for seed in SEEDS]
    return ids, panel_with_rows(tmp_path, ids, {"thaw": one, "frozen": other})


def test_the_pictures_on_which_two_arms_differ_most_come_first_and_are_drawn(two, dataset, tmp_path):
    # Catches means over the pictures in place of over seeds, another order of pictures, and a sheet of others.
    ids, panel = two
    tested = pictures_of(panel)
    judged = judge(panel, None, (), tested.resampled)
    told = apart(judged, tested)
    assert {told["first"], told["second"]} == {"thaw", "frozen"}
    sign = 1 if told["first"] == "thaw" else -1
    assert told["rows"] == [[ids[0], f"{-sign:+.2f}"], [ids[1], f"{sign:+.2f}"], [ids[2], f"{sign * 2 / 3:+.2f}"]]
    sheet = apart_sheet(judged, tested, dataset.path)
    assert sheet is not None and sheet.width == 3 * (SIDE + GAP) - GAP
    corner = np.asarray(sheet)[:SIDE, :SIDE].reshape(-1, 3)
    assert len(np.unique(corner, axis=0)) > 20  # a picture
    assert apart_sheet(judged, tested, tmp_path / "nowhere") is None


def test_intervals_over_pictures_are_of_the_same_pictures_for_all_arms(tmp_path):
    # Catches resamples drawn for each arm: a difference that is certain on every picture would be uncertain.
    ids = [f"{n:03}" for n in range(200)]
    hard = [n % 2 == 0 for n in range(200)]
    panel = panel_with_rows(tmp_path, ids, {"thaw": [hard] * 3, "frozen": [[h / 2 for h in hard]] * 3})
    judged = judge(panel, None, (), pictures_of(panel).resampled)
    (row,) = against_candidate(judged)["rows"]
    low, high = map(float, row[2].strip("[]").split(", "))
    assert -0.29 < low < -0.25 < high < -0.21  # half of the share of those that are not hard
    assert judged.pictures["thaw"].interval().low < 0.46


def test_runs_tested_on_other_pictures_have_no_interval_over_pictures(two, tmp_path):
    ids, panel = two
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    rows = [{"id": f"x{n}", "loss": 1.0, "mistake": 0.0, "quality": 1.0} for n in range(len(ids))]
    write_rows(elsewhere / PICTURES, rows, "accuracy", ["a"])
    runs = [run for arm in panel.arms for run in arm.runs]
    assert pictures_of(panel_of(*runs[:-1], replace(runs[-1], folder=elsewhere))) is None
    assert pictures_of(panel_of(*runs[:-1], replace(runs[-1], folder=tmp_path / "none"))) is None
