"""What shows the same is found without comparing each picture with each."""

from collections import Counter
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from helpers.cases import case
from PIL import Image

from frostline.checking.counted import counted
from frostline.checking.duplicates import near_identical, same_photograph
from frostline.checking.hashes import picture_hashes
from frostline.checking.pigeonhole import BITS, NEAREST, alike_pairs
from frostline.checking.prepare import prepare
from frostline.cli import main
from frostline.errors import FrostlineError
from frostline.scenes.faults import Fault
from frostline.scenes.scene import SPLITS, Scene
from frostline.scenes.splits import Split
from frostline.sources.folder import Folder


def random_hashes(count, seed=0):
    return np.random.default_rng(seed).integers(0, 1 << 64, (count, 2), np.uint64)


def flipped(hashes, bits, seed=1):
    """With so many bits of the first changed."""
    rng = np.random.default_rng(seed)
    changed = hashes.copy()
    for row, count in zip(changed, bits, strict=True):
        for bit in rng.choice(64, count, replace=False):
            row[0] ^= np.uint64(1) << np.uint64(bit)
    return changed


def every(one, other):
    return np.ones(len(one), bool)


def test_no_pair_that_differs_in_a_few_bits_is_missed():
    count = 4000
    hashes = random_hashes(count)
    copies = flipped(hashes[:900], [number % (BITS + 2) for number in range(900)])
    found = {tuple(pair) for pair in alike_pairs(np.concatenate([hashes, copies]), every).tolist()}
    assert found == {(number, count + number) for number in range(900) if number % (BITS + 2) <= BITS}


def test_one_is_near_to_the_inner_part_of_another():
    hashes = random_hashes(50)
    cropped = random_hashes(2, seed=3)
    cropped[0, 0], cropped[1, 1] = hashes[7, 1], hashes[9, 0]
    assert alike_pairs(np.concatenate([hashes, cropped]), every).tolist() == [[7, 50], [9, 51]]


def test_of_many_that_are_alike_each_is_linked_and_few_are_compared():
    """As of a fixed camera: links instead of all pairs, and what lies apart stays apart."""
    base = random_hashes(1)
    base[:, 1] = base[:, 0]
    crowd = flipped(np.repeat(base, 1500, axis=0), np.random.default_rng(2).integers(0, 4, 1500))
    hashes = np.concatenate([random_hashes(500, seed=5), crowd])
    asked = 0

    def judge(one, other):
        nonlocal asked
        asked += len(one)
        return np.ones(len(one), bool)

    pairs = alike_pairs(hashes, judge)
    assert {*pairs.ravel().tolist()} == set(range(500, 2000)) and asked < 200_000
    linked = {500}
    for _ in range(20):
        linked |= {b for a, b in pairs.tolist() if a in linked} | {a for a, b in pairs.tolist() if b in linked}
    assert linked == set(range(500, 2000))


def photograph(seed, side=200):
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9), np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    fine = Image.fromarray(rng.integers(0, 256, (50, 50), np.uint8)).resize((side, side), Image.Resampling.BILINEAR)
    return Image.blend(coarse, fine, 0.3)


def saved(image, quality=30):
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def lighter(image):
    return image.point(lambda value: min(255, round(value * 1.2)))


def cut(image):
    return image.crop((4, 4, 196, 196))


@pytest.mark.parametrize("change", [saved, lighter, cut], ids=lambda change: change.__name__)
def test_copies_are_found_and_others_are_not(change):
    pictures = [photograph(number) for number in range(60)]
    pictures += [change(image) for image in pictures[:30]]
    grey = np.stack([np.asarray(image.resize((32, 32), Image.Resampling.BOX)) for image in pictures])
    found = near_identical(grey, np.array([min(image.size) for image in pictures]))
    assert found == [(number, 60 + number) for number in range(30)]


def test_small_pictures_are_not_tried_cropped():
    """They have too little detail: trousers of 28 px look alike."""
    image = photograph(0)
    grey = [np.asarray(each.resize((32, 32), Image.Resampling.BOX))[None] for each in (image, cut(image))]
    assert same_photograph(*grey, np.array([0.45])) and not same_photograph(*grey, np.array([0.45 * 63 / 192]))


def test_a_flat_part_says_nothing_by_its_rounding():
    """Catches hashes of equal pictures that differ as a sum's last bits do."""
    flat = np.full((3, 32, 32), 100, np.uint8)
    flat[:, :16] = 50
    hashes = picture_hashes(flat)
    assert (hashes == hashes[0]).all() and (picture_hashes(flat[1:2]) == hashes[:1]).all()


def test_most_pictures_of_a_fixed_camera_are_let_be_where_somebody_says_so(tmp_path, capsys):
    root = case("part", tmp_path)
    source = ["dataset=folder", f"dataset.root={root}"]
    assert main(["prepare", *source]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "dataset.duplicates=ignore" in told and "split test has no usable scene" in told
    assert main(["doctor", *source, "dataset.duplicates=ignore"]) == 0
    assert "60 scenes, nothing is wrong" in capsys.readouterr().out


def noisy(count):
    """Pictures of one place that differ by noise, as a list of scenes."""
    rng = np.random.default_rng(0)
    base = np.asarray(photograph(0)).astype(int)
    pictures = [np.clip(base + rng.normal(0, 4, base.shape), 0, 255).astype(np.uint8) for _ in range(count)]
    return [Scene(f"n{n:02}", np.repeat(grey[..., None], 3, 2), n % 2) for n, grey in enumerate(pictures)]


def test_what_becomes_of_nearly_identical_pictures(tmp_path, listed, drawn, capsys):
    scenes = [*noisy(30), *drawn(20)]
    scenes.append(Scene("twin", scenes[3].image, scenes[3].label))

    def kept(duplicates):
        lacking = {"class_untrained": "skip"}
        made = prepare(listed(scenes), tmp_path / duplicates, name="x", duplicates=duplicates, faults=lacking)
        return {scene.id: split for split in SPLITS for scene in made.scenes(split) if scene.id[0] in "nt"}, made

    together, made = kept("split")
    assert len(together) == 30 and "twin" not in together and len(set(together.values())) == 1
    assert "30 of its 51 pictures nearly identical" in capsys.readouterr().err
    alone, _ = kept("drop")
    assert [*alone] == ["n00"]
    apart, made = kept("ignore")
    assert len(apart) == 30 and len(set(apart.values())) == 3
    assert [fault["what"] for fault in made.info["faults"]] == ["is identical to n03"]
    assert "nearly" not in capsys.readouterr().err
    with pytest.raises(FrostlineError, match=r"dataset\.duplicates is 'keep': set it to split, ignore, drop"):
        prepare(listed(scenes), tmp_path / "x", name="x", duplicates="keep")


def test_of_identical_pictures_that_say_otherwise_one_is_kept_where_somebody_says_so(tmp_path, listed, drawn):
    scenes = drawn(20)
    scenes.append(Scene("other", scenes[4].image, 1 - scenes[4].label))
    ids = {}
    for way in ("skip", "fix"):
        made = prepare(listed(scenes), tmp_path / way, name="x", faults={"label_conflict": way})
        ids[way] = {scene.id for split in SPLITS for scene in made.scenes(split)}
    assert not {"other", "s004"} & ids["skip"] and {"other", "s004"} & ids["fix"] == {"other"}


def test_of_identical_pictures_whose_boxes_disagree_the_mean_is_kept(tmp_path, listed, drawn):
    """Catches boxes averaged over classes or over objects, and what one copy alone has kept, or counted in."""
    scenes = drawn(20)
    near = [[2, 2, 12, 12], [3, 2, 13, 12], [4, 2, 14, 15]]
    for copy, box in zip(("one", "three", "two"), near, strict=True):
        boxes, labels = ([box, [21, 5, 31, 20]], [0, 1]) if copy == "two" else ([box, [20, 5, 30, 20]], [0, 0])
        if copy == "one":
            boxes, labels = [*boxes, [0, 0, 5, 3]], [*labels, 1]
        scenes.append(Scene(copy, scenes[0].image // 2, 0, np.array(boxes, np.float32), np.array(labels)))
    made = prepare(listed(scenes), tmp_path / "x", name="x", faults={"label_conflict": "mean"})
    kept = {scene.id: scene for split in SPLITS for scene in made.scenes(split)}
    assert {"one", "two", "three"} & kept.keys() == {"one"} and len(kept) == 21
    assert kept["one"].boxes.tolist() == [[3, 2, 13, 13], [20, 5, 30, 20]] and kept["one"].box_labels.tolist() == [0, 0]
    assert np.array_equal(kept["s003"].boxes, scenes[3].boxes)
    with pytest.raises(FrostlineError, match=r"dataset\.faults\.duplicate is 'mean'"):
        prepare(listed(scenes), tmp_path / "y", name="y", faults={"duplicate": "mean"})


def test_what_became_of_the_scenes_is_one_line(tmp_path, listed, drawn):
    """Catches copies counted as faulty, scenes that no list names counted as left out by a fault, and the reverse."""
    scenes = [replace(scene, split=("train", "val", "test")[n // 3 % 3]) for n, scene in enumerate(drawn(24))]
    sides = Counter(scene.split for scene in scenes)
    box = np.array([[30, 1, 30, 9]], np.float32), np.array([0])
    scenes += [
        replace(scenes[0], id="copy"),
        replace(scenes[1], id="disputed", label=1 - scenes[1].label),
        replace(scenes[2], id="unlisted", image=scenes[2].image[::-1], mask=None, split=None),
        Scene("flat", 255 - scenes[3].image, 0, *box, split="train"),
        Scene("reversed", 255 - scenes[4].image, 0, np.array([[9, 9, 1, 1]], np.float32), np.array([0]), split="train"),
    ]
    lax = {"class_untrained": "skip", "box_empty": "skip", "box_reversed": "fix"}
    made = prepare(listed(scenes), tmp_path / "x", name="x", split={"given": True}, faults=lax)
    assert counted(made) == (
        f"29 scenes: {sides['train']} train, {sides['val']} val, {sides['test']} test; 5 left out: 1 faulty, "
        "2 as copies that disagree, 1 as copies, 1 in none of the given splits (1 box_empty, 2 label_conflict); "
        "mended: 1 box_reversed (swapped back), "
        "1 duplicate (identical ones kept once, near ones as dataset.duplicates says)"
    )
    assert counted(prepare(listed(drawn(20)), tmp_path / "y", name="y")) == "20 scenes: 14 train, 4 val, 2 test"


def test_what_a_source_took_for_granted_is_told_and_kept(tmp_path, listed, drawn, capsys):
    class Telling(listed):
        def scenes(self):
            yield from self.found
            self.notes = ["corners count from 1"]  # known only when all were given

    source = Telling(drawn(20))
    made = prepare(source, tmp_path / "out", name="x")
    assert made.info["notes"] == ["corners count from 1"]
    assert "frostline: dataset 'x': corners count from 1." in capsys.readouterr().err


def test_what_the_files_are_tells_that_nothing_changed(tmp_path, folders, monkeypatch):
    """Without reading one; a file that is as young as the clock is coarse is read, and what was moved as well."""
    import os

    from frostline.checking import fingerprint
    from frostline.sources.folder import Folder

    read = []
    real = fingerprint.of_scene
    monkeypatch.setattr(fingerprint, "of_scene", lambda scene, *seen: read.append(scene.id) or real(scene, *seen))

    def made():
        read.clear()
        return prepare(Folder(folders), tmp_path / "out", name="x").path.joinpath("dataset.json").stat().st_ino

    first = made()
    assert made() == first and len(read) == 20  # all are younger than two seconds
    monkeypatch.setattr("frostline.checking.fingerprint.TICK", -(10**12))
    assert made() == first and len(read) == 20  # it had noted nothing to go by
    assert made() == first and not read
    os.utime(folders / "a" / "0.png")
    assert made() == first and len(read) == 20
    assert made() == first and not read


def test_the_times_of_a_file_tell_its_content_where_they_are_older_than_the_look_at_it(tmp_path):
    """Of each file by itself: a long `prepare` may begin before its last pictures have come to rest."""
    import os
    import time

    from frostline.checking.fingerprint import TICK, Seen, by_status

    path = tmp_path / "a.png"
    Image.new("RGB", (4, 4)).save(path)
    scene = Scene("a", path)
    seen, changed = Seen.of(scene), os.stat(path).st_ctime_ns
    assert not by_status(scene, seen)[1]
    at = {before: by_status(scene, replace(seen, before=before)) for before in (changed + TICK, changed + TICK + 1)}
    assert [settled for _, settled in at.values()] == [False, True] and len({status for status, _ in at.values()}) == 1
    assert changed <= seen.before + TICK and seen.before <= time.time_ns()


def test_faults_that_no_line_of_the_summary_names_are_in_a_file(tmp_path, listed, drawn, monkeypatch):
    import json

    monkeypatch.setattr("frostline.checking.write.REPEATED", 2)
    scenes = drawn(20)
    bad = [Scene(f"bad{n}", None, faults=(Fault("annotation_missing", f"{n}.xml", "is not there"),)) for n in range(5)]
    made = prepare(listed([*scenes, *bad]), tmp_path / "out", name="x", on_fault="skip")
    lines = (made.path / "faults.jsonl").read_text().splitlines()
    assert len(made.info["faults"]) == 2 and [json.loads(line)["scene"] for line in lines] == [
        f"bad{n}" for n in range(5)
    ]


def test_of_very_many_that_agree_each_pair_is_judged_once_and_each_with_few():
    """Catches a judge that is asked anew in every choice of blocks, for which pictures of one look take for ever."""
    asked: list[tuple[int, int]] = []

    def judge(one, other):
        asked.extend(zip(one.tolist(), other.tolist(), strict=True))
        return np.zeros(len(one), bool)

    assert len(alike_pairs(np.full((300, 2), 12345, np.uint64), judge)) == 0
    assert len(asked) == len(set(asked)) and all(one < other for one, other in asked)
    assert len(asked) <= 300 * NEAREST


def test_no_copy_of_a_test_picture_stays_in_training_however_many_are_alike(tmp_path):
    """Catches a crowd whose pairs only link it: a copy whose direct twin is not among them. (One look, other textures,
    as of a fabric under one light.)"""
    rng = np.random.default_rng(1)
    light = Image.fromarray(rng.normal(size=(9, 9)).astype(np.float32)).resize((224, 224), Image.Resampling.BICUBIC)
    base = np.asarray(light)
    base = (base - base.min()) / (base.max() - base.min()) * 150 + 50
    for number in range(120):
        fine = rng.normal(size=(8, 4, 8, 4))
        fine = (fine - fine.mean((1, 3), keepdims=True)).reshape(32, 32)
        pixels = base + 9 * np.kron(fine, np.ones((7, 7)))
        picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert("RGB")
        for split, quality in (("train", 95), ("test", 85)):
            (tmp_path / "in" / split / "a").mkdir(parents=True, exist_ok=True)
            picture.save(tmp_path / "in" / split / "a" / f"{number:03}.jpg", quality=quality)
    for split in ("train", "val"):
        (tmp_path / "in" / split / "a").mkdir(parents=True, exist_ok=True)
        noise = Image.fromarray(rng.integers(0, 255, (12, 12, 3), np.uint8))
        noise.resize((240, 240)).save(tmp_path / "in" / split / "a" / "another.png")
    given = prepare(Folder(tmp_path / "in"), tmp_path / "out", name="x", split=Split(given=True), on_fault="skip")
    assert {split: len(given.scenes(split)) for split in ("train", "val", "test")} == {
        "train": 1,
        "val": 1,
        "test": 120,
    }


def test_of_many_pieces_of_one_fabric_each_finds_its_copy():
    """Catches a crowd of one look, of which each is judged with those that the light says are near, and not its own."""
    rng, count = np.random.default_rng(1), 150
    light = np.kron(rng.normal(120, 40, (8, 8)), np.ones((4, 4)))
    fine = rng.normal(size=(count, 8, 4, 8, 4))
    pieces = light + 9 * (fine - fine.mean((2, 4), keepdims=True)).reshape(count, 32, 32)
    both = np.concatenate([pieces, pieces + rng.normal(0, 1.2, pieces.shape)]).clip(0, 255).astype(np.uint8)
    assert near_identical(both, np.full(2 * count, 224)) == [(number, count + number) for number in range(count)]
