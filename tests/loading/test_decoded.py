"""Decoded once, kept, and the same as decoded each time."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from frostline.loading import decoded
from frostline.loading.decoded import Decoded
from frostline.pictures.fit import place
from frostline.pictures.preprocessing import Preprocessing
from frostline.store import rows as store
from frostline.store.rows import Store

ROOM = 10**8


@pytest.fixture(params=["picture", "mask"])
def what(request):
    return request.param


def make(what, dataset, kept, rows=None, size=48):
    rows = range(len(dataset.scenes("train"))) if rows is None else rows
    return Decoded(what, dataset, "train", list(rows), size, "stretch", kept)


def test_what_is_kept_is_what_is_decoded(dataset, tmp_path, what):
    plain, kept = make(what, dataset, None), make(what, dataset, Store(tmp_path, ROOM))
    kept.open()
    for row in range(len(dataset.scenes("train"))):
        assert torch.equal(plain[row], kept[row]) and plain[row].dtype == torch.uint8
        assert kept[row].stride() == plain[row].stride()


def test_nothing_is_decoded_twice_whichever_rows_came_first(dataset, tmp_path, what, monkeypatch):
    expected = make(what, dataset, None)
    some = make(what, dataset, Store(tmp_path, ROOM), rows=[1, 4])
    some.open()
    some.close()
    every = make(what, dataset, Store(tmp_path, ROOM))
    made = []
    decode = Decoded.decode
    monkeypatch.setattr(Decoded, "decode", lambda self, scene: made.append(scene.id) or decode(self, scene))
    every.open()
    scenes = [scene.id for scene in dataset.scenes("train")]
    assert sorted(made) == sorted(set(scenes) - {scenes[1], scenes[4]})
    again = make(what, dataset, Store(tmp_path, ROOM))
    again.open()
    found = [again[row] for row in range(len(scenes))]
    assert len(made) == len(scenes) - 2
    assert all(torch.equal(one, expected[row]) for row, one in enumerate(found))


def test_other_sizes_and_other_code_are_kept_apart(dataset, tmp_path, what, monkeypatch):
    room = Store(tmp_path, ROOM)
    for size in (48, 32):
        make(what, dataset, room, size=size).open()
    monkeypatch.setattr(decoded, "code_hash", lambda *parts: "other code")
    make(what, dataset, room).open()
    assert len(room.usage()) == 3


def test_without_room_everything_is_decoded_each_time(dataset, tmp_path, what, capsys):
    kept = make(what, dataset, Store(tmp_path, 1000))
    kept.open()
    kept.open()
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "no room" in told and f"{what.title()}s are decoded anew each time" in told
    assert torch.equal(kept[3], make(what, dataset, None)[3])


def test_closed_entries_make_room_and_open_ones_do_not(dataset, tmp_path, what):
    room = Store(tmp_path, ROOM)
    kept = make(what, dataset, room)
    kept.open()
    assert room.clear()[0] == 0
    kept.close()
    assert room.clear()[0] == 1


def test_a_copy_for_another_process_carries_no_pictures(dataset, tmp_path, what, monkeypatch):
    kept = make(what, dataset, Store(tmp_path, ROOM), size=256)
    kept.open()
    sent = pickle.dumps(kept)
    assert len(sent) < 200_000 < len(dataset.scenes("train")) * 256 * 256
    monkeypatch.setattr(Decoded, "decode", None)
    assert torch.equal(pickle.loads(sent)[2], kept[2])


def test_large_photographs_are_decoded_at_a_part_of_their_size(tmp_path, monkeypatch):
    cells = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    large = Image.fromarray(cells).resize((1600, 1200), Image.Resampling.BICUBIC)
    large.save(tmp_path / "large.jpg", quality=92)
    whole = np.asarray(Image.open(tmp_path / "large.jpg").resize((96, 96), Image.Resampling.BILINEAR)).astype(int)
    sizes = []
    resize = Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda self, *args: sizes.append(self.size) or resize(self, *args))
    found = Preprocessing(96).square(tmp_path / "large.jpg").astype(int)
    assert sizes == [(400, 300)]  # a quarter: an eighth would have fewer than twice 96 rows
    assert abs(found - whole).mean() < 1.5


def test_mapped_pages_do_not_pile_up_in_the_process(tmp_path, monkeypatch):
    def resident():
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(status["RssFile"].split()[0]) / 1024

    monkeypatch.setattr(store, "RESIDENT", 4 << 20)
    entry = Store(tmp_path, ROOM).open({"any": "key"}, 48)
    with entry.filling():
        entry.write(range(48), torch.arange(48, dtype=torch.uint8)[:, None].expand(48, 1 << 20))
    before = resident()
    for row in range(48):
        assert entry.read([row])[0, -1] == row
    assert resident() - before < 16


def test_a_letterbox_of_a_reduced_photograph_lies_where_its_boxes_do(tmp_path):
    # 535 x 1000 comes as 268 x 500, whose letterbox would be a column wider.
    Image.new("RGB", (535, 1000), "white").save(tmp_path / "tall.jpg")
    found = Preprocessing(128, "letterbox").square(tmp_path / "tall.jpg", (535, 1000))
    columns = np.flatnonzero((found[..., 0] > 200).any(0))
    left, _, width, _ = place(535, 1000, 128, "letterbox")
    assert (int(columns[0]), len(columns)) == (left, width) == (30, 68)
