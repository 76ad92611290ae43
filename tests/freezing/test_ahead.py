"""What lower lines will read is kept on the way to the present one, as far as there is room."""

import pytest
import pytorch_lightning as pl
import torch
from helpers.tiny import fit, make_task, small_backbone

from frostline.freezing.activations import CacheBelow
from frostline.freezing.schedule import depth_of
from frostline.loading.module import SceneDataModule
from frostline.loading.transforms import RandomBrightnessContrast
from frostline.store.room import CacheError
from frostline.store.rows import Entry, Store

VIEWS, EPOCHS = 2, 6
# The line at the head for two epochs, then each group in turn for one.
GRADUAL = [{"line": "head", "until": {"epochs": 2}}, {"line": {"from": "stage5", "to": "stage2"}}]


class Filled(pl.Callback):
    def __init__(self):
        self.scenes = []

    def on_train_epoch_end(self, trainer, module):
        self.scenes.append(int(trainer.callback_metrics["cache_filled"]))


def train(dataset, store):
    """With this store, or none; the task, and how many scenes each epoch computed below the line."""
    augment = RandomBrightnessContrast(0.1, 0.2)
    data = SceneDataModule(dataset, {"label"}, 64, 8, augment=augment, views=VIEWS, store=store)
    task = make_task(GRADUAL, EPOCHS, lambda: small_backbone("batch"), classes=data.classes)
    filled = Filled()
    cached = [] if store is None else [CacheBelow(task.model, store, data, {"augment": "light"}), filled]
    fit(task, EPOCHS, data=data, callbacks=cached)
    data.teardown()
    return task, filled.scenes


@pytest.fixture(scope="module")
def expected(small_meadow):
    """The weights of the run that keeps nothing."""
    return weights(train(small_meadow, None)[0])


def weights(task):
    return torch.cat([value.flatten().double() for value in task.state_dict().values()])


def kept(store):
    """Activations of the training pictures: name -> the views of which there is any."""
    found = {}
    for usage in store.usage():
        if usage.key["split"] == "train" and "activation" in usage.key:
            assert usage.present == usage.rows == 20 and not usage.held
            found.setdefault(usage.key["activation"], set()).add(usage.key["view"])
    return found


def test_a_pass_keeps_what_the_lines_to_come_will_read_and_no_more(small_meadow, tmp_path, expected):
    # Catches lines that are filled again, and views that no epoch of a line takes.
    store = Store(tmp_path / "cache", 10**9)
    task, filled = train(small_meadow, store)
    depths = [depth_of(task.model.state_at(epoch)) for epoch in range(EPOCHS)]
    assert depths == [6, 6, 5, 4, 3, 2]
    ahead = {f"stage{depth - 1}": {epoch % VIEWS} for epoch, depth in enumerate(depths) if depth < 6}
    assert kept(store) == {"embedding": {0, 1}, **ahead}
    assert filled == [30, 20, 0, 0, 0, 0]
    assert torch.equal(weights(task), expected)
    again, filled = train(small_meadow, store)
    assert filled == [0] * EPOCHS and torch.equal(weights(again), expected)


def test_without_room_a_line_is_filled_when_it_is_there(small_meadow, tmp_path, expected, monkeypatch, capsys):
    # Catches what is kept ahead in place of what is read now, and a run that gives the cache up for it.
    # Enough for the pictures, and in two views for what lies below the head and below stage5.
    monkeypatch.setattr(Store, "most", lambda self, folder: 900_000)
    task, filled = train(small_meadow, Store(tmp_path / "cache", 10**9))
    said = capsys.readouterr().err
    assert said.count("computed when the line comes there") == 1 and "goes on without" not in said
    assert filled == [30, 20, 0, 30, 30, 30]
    assert torch.equal(weights(task), expected)


def test_what_cannot_be_kept_ahead_costs_nothing_else(small_meadow, tmp_path, expected, monkeypatch, capsys):
    # Catches a run that goes on without the cache where a line to come finds no place on the disk.
    write, failed = Entry.write, []

    def failing(entry, rows, values, **options):
        if values.shape[1:] == values_of_stage2 and len(failed) < 2:
            failed.append(entry.folder)
            raise CacheError("full")
        write(entry, rows, values, **options)

    picture = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    values_of_stage2 = small_backbone("batch").eval().below(picture, ["stage2"])["stage2"].shape[1:]
    monkeypatch.setattr(Entry, "write", failing)
    task, filled = train(small_meadow, Store(tmp_path / "cache", 10**9))
    assert len(failed) == 2 and filled == [30, 20, 0, 0, 30, 0]  # once training, once validation
    assert "goes on without" not in capsys.readouterr().err
    assert torch.equal(weights(task), expected)


def test_what_is_kept_ahead_makes_way_for_what_is_read_now(small_meadow, tmp_path, expected, monkeypatch, capsys):
    # Catches a run that gives the cache up although what fills it is its own, and of later.
    store, write = Store(tmp_path / "cache", 10**9), Entry.write

    def failing(entry, rows, values, **options):
        if values.ndim == 2 and values.is_floating_point() and any(map(held_ahead, store.usage())):
            raise CacheError("full")
        write(entry, rows, values, **options)

    def held_ahead(usage):
        return usage.held and usage.present > 0 and usage.key.get("activation") == "stage2"

    monkeypatch.setattr(Entry, "write", failing)
    task, filled = train(small_meadow, store)
    assert "goes on without" not in capsys.readouterr().err
    assert kept(store)["embedding"] == {0, 1} and filled[1] == 20
    assert torch.equal(weights(task), expected)
