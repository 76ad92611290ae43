"""Squares that are kept as lossless WebP, where there is no room for their pixels."""

import io
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from frostline.checking.prepare import prepare
from frostline.loading import encoded
from frostline.loading.decoded import Decoded
from frostline.pictures.preprocessing import Preprocessing
from frostline.scenes.scene import Scene
from frostline.store.form import LENGTH
from frostline.store.room import taken
from frostline.store.rows import Store

SIZE, TRAIN = 96, 30  # px; scenes
ROOM = 10**8


@pytest.fixture(scope="module")
def large(tmp_path_factory, drawn, listed):
    """Smooth pictures of 256 x 192 px, so five times the pixels of a square of 96."""
    scenes = []
    for scene in drawn(TRAIN + 4):
        picture = np.asarray(Image.fromarray(scene.image).resize((256, 192), Image.Resampling.BICUBIC))
        mask = scene.mask.repeat(8, 0).repeat(8, 1)
        split = ["train"] * TRAIN + ["val"] * 2 + ["test"] * 2
        scenes.append(Scene(scene.id, picture, scene.label, None, None, mask, split=split[len(scenes)]))
    return prepare(
        listed(scenes),
        tmp_path_factory.mktemp("large") / "large",
        name="large",
        split={"given": True},
        duplicates="ignore",
    )


@pytest.fixture(params=["picture", "mask"])
def what(request):
    return request.param


def make(what, dataset, kept, size=SIZE):
    return Decoded(what, dataset, "train", range(len(dataset.scenes("train"))), size, "stretch", kept)


def needed(what, dataset, folder):
    """Bytes on disk of the pixels."""
    kept = make(what, dataset, Store(folder, ROOM))
    kept.open()
    size = taken(kept._entry.folder)
    kept.close()
    return size


def test_noise_and_photographs_come_back_to_the_last_digit(real_data):
    generator = torch.Generator().manual_seed(0)
    shots = [torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator) for shape in ((3, 64, 64), (64, 64))]
    files = sorted((real_data / "pets3").rglob("*.jpg"))[:5] + sorted((real_data / "bccd").rglob("*.jp*g"))[:5]
    assert len(files) == 10
    shots += [torch.from_numpy(Preprocessing(224).square(file)).permute(2, 0, 1) for file in files]
    for shot in shots:
        content = encoded.encode(shot)
        assert LENGTH + len(content) <= encoded.row_width(shot.numel())
        back = encoded.decode(np.frombuffer(content, np.uint8), grey=shot.dim() == 2)
        assert torch.equal(back, shot) and back.shape == shot.shape
        # A second reader, which knows nothing of ours: it is a picture as any other.
        other = np.moveaxis(np.asarray(Image.open(io.BytesIO(content))), -1, 0)
        assert np.array_equal(other if shot.dim() == 3 else other[0], shot)


def test_beyond_the_room_squares_are_kept_encoded_and_are_the_same(large, tmp_path, what, capsys, monkeypatch):
    room = needed(what, large, tmp_path / "measured") * 3 // 4
    plain, kept = make(what, large, None), make(what, large, Store(tmp_path / "cache", room))
    kept.open()
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"The {what}s of train take" in said and "kept as lossless WebP" in said
    (usage,) = Store(tmp_path / "cache", room).usage()
    assert usage.key["encoded"] == "WebP" and usage.present == TRAIN and usage.size <= room
    decode = Decoded.decode
    monkeypatch.setattr(
        Decoded, "decode", lambda self, scene: pytest.fail("decoded anew") if self is kept else decode(self, scene)
    )
    for row in range(TRAIN):
        assert torch.equal(kept[row], plain[row]) and kept[row].stride() == plain[row].stride()
    kept[0].fill_(0)  # it is memory of its own
    assert torch.equal(kept[0], plain[0])
    # Another process of the run, and the next run, find them; where there is room again, pixels are kept.
    assert torch.equal(pickle.loads(pickle.dumps(kept))[3], plain[3])
    kept.close()
    monkeypatch.undo()
    again = make(what, large, Store(tmp_path / "cache", room))
    again.open()
    assert torch.equal(again[1], plain[1])
    again.close()
    wide = make(what, large, Store(tmp_path / "cache", ROOM))
    wide.open()
    assert not wide._how and torch.equal(wide[5], plain[5])


def test_what_is_said_is_what_they_take(large, tmp_path, what, capsys):
    size = needed(what, large, tmp_path / "measured")
    kept = make(what, large, Store(tmp_path / "cache", size * 3 // 4))
    kept.open()
    told = float(capsys.readouterr().err.split("WebP, ")[1].split(" GB")[0]) * 1e9
    assert told == pytest.approx(taken(kept._entry.folder), rel=0.25)


def test_with_room_for_neither_they_are_decoded_each_time_and_nothing_is_written(large, tmp_path, what, capsys):
    kept = make(what, large, Store(tmp_path / "cache", 50_000))
    kept.open()
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "encoded, they take" in said and "are decoded anew each time" in said
    assert torch.equal(kept[3], make(what, large, None)[3])
    assert all(usage.present == 0 for usage in Store(tmp_path / "cache", ROOM).usage())


def test_small_files_are_read_as_they_are(large, tmp_path, what, capsys):
    """Of squares that are nearly as large as the files, encoded ones would be no quicker to read."""
    kept = make(what, large, Store(tmp_path / "cache", 200_000), size=192)
    kept.open()
    assert "are read no quicker than the files" in capsys.readouterr().err
    assert torch.equal(kept[3], make(what, large, None, size=192)[3])


def test_pictures_that_are_stored_small_count_as_small(large, tmp_path, capsys):
    stored = make("picture", large, Store(tmp_path / "cache", 200_000))
    assert stored._pixels() == 256 * 192
    stored._side = SIZE  # as dataset.store=encoded has it, whose scenes keep the sizes of the originals
    assert stored._pixels() == pytest.approx(96 * 128)
    stored.open()
    assert "are read no quicker than the files" in capsys.readouterr().err


def test_a_flipped_bit_costs_that_row_alone(large, tmp_path):
    room = needed("picture", large, tmp_path / "measured") * 3 // 4
    kept = make("picture", large, Store(tmp_path / "cache", room))
    kept.open()
    folder = kept._entry.folder
    kept.close()
    width = encoded.row_width(3 * SIZE**2)
    with (folder / "rows.bin").open("r+b") as file:
        file.seek(7 * width + 100)
        byte = file.read(1)
        file.seek(7 * width + 100)
        file.write(bytes([byte[0] ^ 1]))
        file.seek(9 * width)
        file.write(b"\xff\xff\xff\xff")  # a length that is none
    entry = Store(tmp_path / "cache", room).open(kept.key | {"encoded": "WebP"}, TRAIN)
    assert np.flatnonzero(~entry.present).tolist() == [7, 9]
    entry.close()
    kept.open()
    plain = make("picture", large, None)
    assert all(torch.equal(kept[row], plain[row]) for row in range(TRAIN))
