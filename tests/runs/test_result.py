"""What a finished run leaves in result.json, written and read back."""

import json
import math

import pytest

from frostline.errors import FrostlineError
from frostline.runs.result import RunResult

OLD = {
    "study": "s", "run": "r", "task": "detection", "dataset": "meadow", "backbone": "net", "head": "dense",
    "schedule": 2024, "seed": 3, "metrics": {"map": 0.5, "loss": None}, "primary": "map", "epochs": 2,
    "images_seen": 40, "train_seconds": 10, "images_per_second": 4.0, "predict_ms": 12.5, "params_total": 100,
    "params_trainable_last": 5, "commit": "abc", "data_hash": "d", "machine": "2-core CPU",
}  # fmt: skip


@pytest.fixture
def file(tmp_path):
    return tmp_path / "result.json"


def test_an_old_file_has_its_arm_from_its_five_names(file):
    file.write_text(json.dumps(OLD))
    result = RunResult.read(file)
    names = {"task": "detection", "dataset": "meadow", "backbone": "net", "head": "dense", "schedule": "2024"}
    assert result.arm == result.names == names
    assert result.quality == 0.5 and math.isnan(result.metrics["loss"])
    assert (result.train_seconds, result.by_class, result.confusion, result.command) == (10.0, {}, None, "")


def test_the_summary_names_few_metrics_and_the_primary_one_first(file):
    metrics = {f"ap{n}": n / 10 for n in range(9)} | {"map": 0.5}
    file.write_text(json.dumps(OLD | {"metrics": metrics}))
    assert RunResult.read(file).summary == "r: map 0.5000  ap0 0.0000  ap1 0.1000  ap2 0.2000  (10 s of training)"


def test_classes_without_a_tested_example_are_known(file):
    by_class = {"f1": {"daisy": -1, "rose": 0.1, "tulip": -1}, "ap": {"daisy": -1, "rose": -1, "tulip": -1}}
    file.write_text(json.dumps(OLD | {"metrics": {"map": 0.5}, "by_class": by_class, "scenes": {"test": 1200}}))
    result = RunResult.read(file)
    assert result.unseen == ["daisy", "tulip"] and result.summary.endswith("(10 s of training, 1,200 scenes tested)")


def test_what_is_written_is_read_back(file):
    file.write_text(json.dumps(OLD | {"metrics": {"map": 0.5}, "by_class": {"ap": {"daisy": -1, "rose": 0.1}}}))
    result = RunResult.read(file)
    changed = result.to_json() | {"arm": {"image_size": "128"}, "confusion": [[1.0, 2.0], [0.0, 3.0]]}
    file.write_text(json.dumps(changed))
    again = RunResult.read(file)
    assert again.to_json() == changed and again.names == result.names and again.arm == {"image_size": "128"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("{", "is not valid JSON"),
        ("[1]", "is no result of a run"),
        (json.dumps({k: v for k, v in OLD.items() if k not in ("seed", "metrics")}), "lacks seed, metrics;"),
        (json.dumps({k: v for k, v in OLD.items() if k != "head"}), "lacks head;"),
        (json.dumps(OLD | {"metrics": {"loss": 1}}), "primary metric map is not among its metrics"),
        (json.dumps(OLD | {"seed": "x"}), "is no result of a run"),
        (json.dumps(OLD | {"metrics": 5}), "is no result of a run"),
    ],
)
def test_what_is_no_result_is_told_in_one_sentence(file, text, words):
    if text is not None:
        file.write_text(text)
    with pytest.raises(FrostlineError, match=words) as error:
        RunResult.read(file)
    assert str(file) in str(error.value) and "\n" not in str(error.value)
