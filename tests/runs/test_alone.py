"""What there is to use from Python."""

import subprocess
import sys

import pytest

import frostline


def test_a_run_from_python(here, small):
    overrides = [*small, "backbone=small_cnn", "schedule=full", "trainer.epochs=1", "tracking=none"]
    dataset = frostline.prepare(*overrides)
    assert isinstance(dataset, frostline.Dataset) and dataset.path.parent == here / "runs" / "data"
    result = frostline.train(*overrides)
    assert isinstance(result, frostline.RunResult) and result.images_seen == 20
    assert result.command.startswith("frostline train dataset.source.train=20")
    assert result.folder.resolve().parent == here / "runs" / "default" / "results"
    again = frostline.train(*overrides)  # done before
    assert again == result and again.finished == result.finished
    scene = dataset.scenes("test")[0]
    (prediction,) = frostline.load(result.folder).predict([scene.image])
    assert isinstance(scene, frostline.Scene) and isinstance(prediction, frostline.Classified)
    assert prediction.classes == dataset.classes.labels


def test_mistakes_are_one_exception(here):
    with pytest.raises(frostline.FrostlineError, match="no configuration key 'trainer.epoch'"):
        frostline.train("trainer.epoch=1")
    with pytest.raises(frostline.FrostlineError, match="leave the head out"):
        frostline.train("head=yolo")
    with pytest.raises(frostline.FrostlineError, match="nonnumeric port.*mend its address"):
        frostline.train("tracking.uri=http://127.0.0.1:port")
    assert not list(here.iterdir())  # all of it before anything is prepared


def test_all_that_is_named_is_there():
    assert set(frostline.__all__) <= set(dir(frostline))
    assert all(getattr(frostline, name).__name__ == name for name in frostline.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        frostline.trian  # noqa: B018


def test_importing_it_loads_nothing():
    shown = "import sys; import frostline; frostline.train; frostline.FrostlineError;"
    shown += "print([name for name in ('torch', 'pandas', 'mlflow', 'matplotlib', 'timm') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True).stdout == "[]\n"
