import pytest

from frostline.checking.prepare import prepare_from_config
from frostline.config import compose
from frostline.runs.workplace import Workplace

SMALL = ["dataset.source.train=20", "dataset.source.val=10", "dataset.source.test=10", "image_size=64"]
SMALL += ["dataset.source.size=64", "trainer.epochs=3", "trainer.batch_size=8", "trainer.threads=1"]


@pytest.fixture
def small():
    """Overrides of a run that takes a second or two."""
    return list(SMALL)


@pytest.fixture(scope="session")
def small_meadow(tmp_path_factory):
    """A prepared dataset of 20 + 10 + 10 small scenes."""
    return prepare_from_config(compose(SMALL)["dataset"], tmp_path_factory.mktemp("data") / "meadow")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory, so that runs/ and the tracking store are the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture
def train_small(here, small_meadow):
    """Train a small run with these overrides; returns its result and the folder that it was delivered to."""
    from frostline.runs.build import build_run
    from frostline.runs.train import train

    def run(*overrides: str, name: str = "run"):
        config = compose([*SMALL, *overrides])
        workplace = Workplace(here / "work" / name, config, small_meadow.data_hash)
        result = train(build_run(config, small_meadow, name), workplace, "a command")
        workplace.deliver(here / "results" / name)
        return result, here / "results" / name

    return run
