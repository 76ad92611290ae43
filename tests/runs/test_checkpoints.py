"""A run whose checkpoints were cut off or damaged goes on from what is whole, and ends as if nothing had happened."""

import io
from pathlib import Path

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from frostline.errors import FrostlineError
from frostline.files import room_wanted
from frostline.runs.checkpoints import WholeCheckpoints, is_whole, resume_from
from frostline.tasks.classification import Classification


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def epoch_of(path):
    return torch.load(path, weights_only=True)["epoch"]


def test_a_run_with_a_cut_off_checkpoint_ends_with_the_figures_it_would_have_had(train_small, here, capsys):
    overrides = ["schedule=thaw", "trainer.epochs=4", "tracking=none"]
    whole, _ = train_small(*overrides, name="whole")
    sound = Classification.criterion

    def broken(self, outputs, batch):
        if self.training and self.current_epoch == 3:
            raise FrostlineError("stopped")
        return sound(self, outputs, batch)

    def stop():
        with pytest.MonkeyPatch.context() as patch, pytest.raises(FrostlineError, match="stopped"):
            patch.setattr(Classification, "criterion", broken)
            train_small(*overrides)

    stop()
    work = here / "work" / "run"
    cut(work / "last.ckpt")
    capsys.readouterr()
    stop()
    assert "last.ckpt is cut off or damaged: going on from the one before" in capsys.readouterr().err
    for name in ("last", "last.before"):
        cut(work / f"{name}.ckpt")
    stop()
    assert "can be used: the run starts anew" in capsys.readouterr().err
    cut(work / "last.ckpt")
    resumed, _ = train_small(*overrides)
    assert resumed.metrics == whole.metrics and resumed.images_seen == whole.images_seen


@pytest.fixture
def best(tmp_path):
    return ModelCheckpoint(tmp_path, filename="best", monitor="val_x", mode="max", enable_version_counter=False)


@pytest.fixture
def run(tmp_path, best):
    """What a run leaves: epoch 1 was the best one until epoch 3."""
    io = WholeCheckpoints()
    for epoch, score in enumerate([0.1, 0.5, 0.5, 0.7]):
        state = {"best_model_score": torch.tensor(score), "dirpath": best.dirpath}
        checkpoint = {"epoch": epoch, "weights": torch.ones(1000), "callbacks": {best.state_key: state}}
        if epoch != 2:
            io.save_checkpoint(checkpoint, tmp_path / "best.ckpt")
        io.save_checkpoint(checkpoint, tmp_path / "last.ckpt")
    assert [epoch_of(tmp_path / f"{name}.ckpt") for name in ("last", "last.before", "best", "best.before")] == [
        3, 2, 3, 1
    ]  # fmt: skip
    return tmp_path


@pytest.mark.parametrize("harm", [cut, flip, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize(
    ("harmed", "epoch", "best_epoch"),
    [
        ((), 3, 3),
        (("last",), 2, 3),
        (("best",), 2, 1),  # a kill while epoch 3 was written; of epoch 3 itself nothing is left to be tested
        (("last", "best"), 2, 1),
        (("best.before",), 3, 3),
        (("last.before", "best.before"), 3, 3),
        (("last", "last.before"), None, None),
        (("last.before", "best"), None, None),
        (("best", "best.before"), None, None),
    ],
)
def test_what_is_damaged_is_passed_over_in_one_line(run, best, capsys, harm, harmed, epoch, best_epoch):
    for name in harmed:
        harm(run / f"{name}.ckpt")
    (run / ".77-last.ckpt").write_bytes(b"half")
    found = resume_from(run / "last.ckpt", best, run / "best.ckpt")
    told = capsys.readouterr().err
    assert told.count("\n") == (epoch != 3) and not (run / ".77-last.ckpt").exists()
    if epoch is None:
        assert found is None and "starts anew" in told
    else:
        assert found == run / "last.ckpt"
        assert (epoch_of(found), epoch_of(run / "best.ckpt")) == (epoch, best_epoch)


@pytest.mark.parametrize("name", ["last", "best"])
def test_a_kill_between_the_two_renames_loses_nothing(run, best, name):
    (run / f"{name}.ckpt").unlink()
    assert epoch_of(resume_from(run / "last.ckpt", best, run / "best.ckpt")) == 2
    assert (run / "best.ckpt").exists()


def test_a_fresh_folder_has_nothing_to_go_on_from_and_says_nothing(tmp_path, best, capsys):
    assert resume_from(tmp_path / "last.ckpt", best, tmp_path / "best.ckpt") is None
    assert capsys.readouterr().err == ""


def test_checkpoints_of_another_folder_are_not_gone_on_from(run, tmp_path_factory):
    # Lightning takes a moved folder's best epoch for none, so that a worse one would replace it.
    elsewhere = tmp_path_factory.mktemp("moved") / "run"
    run.rename(elsewhere)
    moved = ModelCheckpoint(elsewhere, filename="best", monitor="val_x", mode="max", enable_version_counter=False)
    assert resume_from(elsewhere / "last.ckpt", moved, elsewhere / "best.ckpt") is None


def test_the_one_before_is_kept_until_the_next_is_whole(run, monkeypatch):
    path = run / "last.ckpt"
    half = path.read_bytes()[:300]
    monkeypatch.setattr(torch, "save", lambda checkpoint, file: file.write(half))
    with pytest.raises(OSError, match="last.ckpt could not be written whole"):
        WholeCheckpoints().save_checkpoint({"epoch": 4}, path)
    assert epoch_of(path) == 3 and epoch_of(run / "last.before.ckpt") == 2
    assert len(list(run.iterdir())) == 4


def test_a_disk_that_is_full_leaves_the_one_before(run):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(FrostlineError, match="could not be written .*make room"), room_wanted(run):
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
        try:
            WholeCheckpoints().save_checkpoint({"epoch": 4, "weights": torch.ones(10_000)}, run / "last.ckpt")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert epoch_of(run / "last.ckpt") == 3 and epoch_of(run / "last.before.ckpt") == 2
    assert len(list(run.iterdir())) == 4


def test_nothing_is_written_outside_of_the_folder(tmp_path, monkeypatch):
    # The trap: Lightning writes to the system's temporary folder, and copies from there where it is another disk.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    WholeCheckpoints().save_checkpoint({"epoch": 1}, tmp_path / "last.ckpt")
    assert is_whole(tmp_path / "last.ckpt") and not is_whole(tmp_path / "nothing.ckpt")


def test_who_is_told_to_stop_in_the_midst_of_writing_stops(tmp_path, monkeypatch):
    # torch raises its own error then, as what it has written is not what it counted.
    class Told(BaseException):
        pass

    class Interrupted(io.FileIO):
        writes = 0

        def write(self, content):
            self.writes += 1
            written = super().write(content)
            if self.writes == 8:  # a signal's handler runs between two lines, after which all goes on
                raise Told
            return written

    monkeypatch.setattr(Path, "open", lambda path, mode: Interrupted(path, mode))
    with pytest.raises(Told):
        WholeCheckpoints().save_checkpoint({"state": torch.zeros(10_000)}, tmp_path / "last.ckpt")
    assert not list(tmp_path.glob("last*"))
