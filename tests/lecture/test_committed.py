"""Figures of committed studies must be those of their runs, and none must be made up where there is no study."""

from statistics import mean, stdev

import pytest
from scipy.stats import t

from frostline.errors import FrostlineError
from frostline.lecture.committed import Found, committed, committed_runs


def test_they_are_those_of_the_runs():
    # By hand from results.csv, which another file is.
    arms = committed("flowers")
    values = [
        float(run["test_accuracy"])
        for run in committed_runs("flowers")
        if (run["backbone"], run["schedule"]) == ("efficientnet_lite0", "thaw")
    ]
    half = t.ppf(0.975, len(values) - 1) * stdev(values) / len(values) ** 0.5
    found = arms["efficientnet_lite0 / thaw"]
    expected = (mean(values), mean(values) - half, mean(values) + half)
    assert len(values) == 3 and len(arms) == 40
    assert (found.mean, found.low, found.high) == pytest.approx(expected, abs=1e-5)
    assert str(found) == "84.9% (83.1% to 86.6%)"


def test_a_study_that_is_not_there_has_none(tmp_path):
    (tmp_path / "begun").mkdir()
    for study in ("nowhere", "begun"):
        assert committed(study, folder=tmp_path) is None and committed_runs(study, folder=tmp_path) is None


def test_one_seed_has_no_interval(tmp_path):
    file = tmp_path / "one" / "metrics.json"
    file.parent.mkdir()
    file.write_text('{"detection": {"yolo": {"mean": 0.25}}}')
    assert committed("one", "detection", tmp_path) == {"yolo": Found(0.25)}
    assert str(Found(0.25)) == "25.0%"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"detection": {}}', "lacks 'classification'"),
        ('{"classification": {"a": {"low": 0}}}', "lacks 'mean'"),
        ('{"classification": {"a": {"mean": "high"}}}', "cannot be read"),
    ],
)
def test_damaged_ones_are_told_in_a_sentence(tmp_path, text, why):
    file = tmp_path / "study" / "metrics.json"
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(FrostlineError, match=rf"{file} {why}.*: take it from the repository again"):
        committed("study", folder=tmp_path)
