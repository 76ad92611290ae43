from frostline.config import compose
from frostline.runs.identity import beside
from frostline.runs.workplace import Workplace, identity


def stopped(folder, config, data="a", epochs=2):
    """A run's folder as a run leaves it that was stopped."""
    work = Workplace(folder, config, data)
    (work.folder / "epochs.jsonl").write_text("{}\n" * epochs)
    return work


def test_what_is_removed_is_told_with_what_changed(tmp_path, capsys):
    config = compose(["trainer.epochs=2"])
    stopped(tmp_path / "w", config)._lock.release()
    assert capsys.readouterr().err == ""
    stopped(tmp_path / "w", config)._lock.release()  # the same goes on
    assert capsys.readouterr().err == ""
    stopped(tmp_path / "w", config, data="b", epochs=1)._lock.release()
    assert f"{tmp_path / 'w'} has 2 epochs of a run with another dataset: they are removed" in capsys.readouterr().err
    stopped(tmp_path / "w", compose(["trainer.epochs=3"]), data="b")._lock.release()
    assert "an epoch of a run with another trainer.epochs (2, now 3)" in capsys.readouterr().err


def test_an_unfinished_run_of_other_settings_is_named(tmp_path):
    stopped(tmp_path / "name-aaaaaa", compose(["seed=7", "trainer.epochs=2", "optimizer.lr=0.5"]))
    stopped(tmp_path / "name-bbbbbb", compose(["trainer.epochs=2"]))
    stopped(tmp_path / "name-cccccc", compose([]), epochs=0)
    told = beside(tmp_path / "name-dddddd", identity(compose(["trainer.epochs=5"]), "a"))
    assert "name-bbbbbb keeps 2 epochs of a run with another trainer.epochs (2, now 5)" in told
    assert beside(tmp_path / "other-dddddd", identity(compose([]), "a")) is None
