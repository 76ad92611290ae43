from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frostline.errors import FrostlineError
from frostline.scenes.scene import SPLITS
from frostline.scenes.splits import Split, Splittable, assign

scenes_of = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([("label",), ("label", "boxes")])), min_size=1, max_size=120
).map(lambda kinds: [Splittable(f"hash{n}", label, kinds_) for n, (label, kinds_) in enumerate(kinds)])


@settings(max_examples=50, deadline=None)
@given(scenes_of, st.integers(0, 3))
def test_order_of_the_scenes_does_not_matter(scenes, seed):
    split = Split(seed=seed)
    placed = dict(zip(scenes, assign(scenes, split), strict=True))
    shuffled = Random(0).sample(scenes, len(scenes))
    assert dict(zip(shuffled, assign(shuffled, split), strict=True)) == placed


@settings(max_examples=50, deadline=None)
@given(scenes_of)
def test_every_label_and_every_set_of_annotations_gets_its_share(scenes):
    split = Split(0.6, 0.15, 0.25)
    placed = assign(scenes, split)
    for key in (lambda scene: scene.label, lambda scene: (scene.label, scene.annotations)):
        totals = Counter(map(key, scenes))
        counts = Counter((key(scene), where) for scene, where in zip(scenes, placed, strict=True))
        for group, total in totals.items():
            for where, share in split.shares.items():
                assert abs(counts[group, where] - share * total) < 2.5
    for label, total in Counter(scene.label for scene in scenes).items():
        if total >= 3:
            assert {where for scene, where in zip(scenes, placed, strict=True) if scene.label == label} == set(SPLITS)


def test_rare_annotations_are_shared_out_evenly():
    scenes = [Splittable(f"hash{n}", n % 2, ("boxes",) if n % 10 < 4 else ()) for n in range(1000)]
    for seed in range(5):
        placed = assign(scenes, Split(0.6, 0.15, 0.25, seed))
        counts = Counter(where for scene, where in zip(scenes, placed, strict=True) if scene.annotations)
        assert counts == {"train": 240, "val": 60, "test": 100}


def test_the_seed_matters():
    scenes = [Splittable(f"hash{n}", 0, ()) for n in range(50)]
    assert assign(scenes, Split(seed=0)) != assign(scenes, Split(seed=1))


def test_shares_that_make_no_split_are_refused():
    for shares in ({"train": 0.5}, {"train": 0.85, "test": 0.0}):
        with pytest.raises(FrostlineError, match="sum is 1"):
            Split(**shares)


def test_given_splits_are_kept_and_a_missing_one_is_drawn_from_train():
    scenes = [Splittable(f"hash{n}", 0, (), "test" if n < 30 else "train" if n < 90 else None) for n in range(100)]
    placed = assign(scenes, Split(0.6, 0.15, 0.25, given=True))
    assert placed[:30] == ["test"] * 30 and placed[90:] == [None] * 10
    assert Counter(placed[30:90]) == {"train": 48, "val": 12}
    with pytest.raises(FrostlineError, match="'train'"):
        assign(scenes[:30], Split(given=True))


def test_what_auto_takes_and_what_it_draws():
    both = [Splittable(f"hash{n}", 0, (), "test" if n < 30 else "train") for n in range(100)]
    none, only = [replace(scene, given=None) for scene in both], [replace(scene, given="test") for scene in both]
    auto, kept, anew = (Split(given=keep) for keep in ("auto", True, False))
    assert assign(both, auto) == assign(both, kept) and assign(none, auto) == assign(only, auto) == assign(none, anew)
    assert auto.told({"train", "val", "test"}) == [
        "its own train, val and test are kept (dataset.split.given=false splits anew)"
    ]
    assert auto.told({"train", "test"}, 4)[1:] == [
        "val is drawn from its train, as it gives none",
        "4 scenes are in none of its splits, and are left out",
    ]
    assert "gives test and no train" in auto.told({"test"})[0] and auto.told(set()) == [] == kept.told({"train"})
    with pytest.raises(FrostlineError, match="true, false or auto"):
        Split(given="automatic")


def test_a_split_whose_scenes_are_all_faulty_is_empty_and_not_drawn():
    """Catches a training set made of what was to be tested on, and 'the source has no train', which is not so."""
    left = [Splittable(f"hash{n}", 0, (), "val" if n < 30 else "test") for n in range(60)]
    for keep in ("auto", True):
        placed = assign(left, Split(given=keep), {"train", "val", "test"})
        assert Counter(placed) == {"val": 30, "test": 30}


@pytest.mark.parametrize("seed", range(3))
def test_classes_of_two_reach_every_split(seed):
    scenes = [Splittable(f"hash{n}", n // 2, ("label",)) for n in range(80)]
    for shares, counts in (((0.7, 0.15, 0.15), (56, 12, 12)), ((0.5, 0.25, 0.25), (40, 20, 20))):
        placed = assign(scenes, Split(*shares, seed=seed))
        assert tuple(Counter(placed)[name] for name in SPLITS) == counts
        assert {n // 2 for n in range(80) if placed[n] == "train"} == set(range(40))
        assert any(placed[n] != placed[n + 1] for n in range(0, 80, 2))
    large = [Splittable(f"large{n}", 100 + n % 2, ("label",)) for n in range(60)]
    assert assign([*large, *scenes], Split(seed=seed))[:60] == assign(large, Split(seed=seed))


@settings(max_examples=50, deadline=None)
@given(scenes_of, st.integers(3, 6))
def test_over_all_folds_each_scene_is_tested_once_and_validates_once(scenes, folds):
    """Catches folds that overlap, a fold that is drawn anew for each number, and labels dealt to one fold alone."""
    placed = [assign(scenes, Split(folds=folds, fold=fold)) for fold in range(folds)]
    for number, scene in enumerate(scenes):
        parts = [each[number] for each in placed]
        assert Counter(parts) == {"test": 1, "val": 1, "train": folds - 2}, scene
        assert parts[parts.index("test") - 1] == "val"
    for label in {scene.label for scene in scenes}:
        tested = [sum(s.label == label and p == "test" for s, p in zip(scenes, each, strict=True)) for each in placed]
        if sum(tested) >= folds:
            assert max(tested) - min(tested) <= 1
    tested = [Counter(each)["test"] for each in placed]
    # A label with fewer scenes than folds is dealt with the others of its kind.
    assert max(tested) - min(tested) <= 4


def test_folds_keep_units_whole_and_rare_labels_apart():
    scenes = [Splittable(f"h{n}", n % 2, ("label",), unit=n // 4) for n in range(80)]
    scenes += [Splittable(f"r{n}", 5 + n, ("label",)) for n in range(10)]
    for fold in range(5):
        placed = assign(scenes, Split(folds=5, fold=fold))
        assert all(len(set(placed[n : n + 4])) == 1 for n in range(0, 80, 4))
        assert placed[:80].count("test") == 16 and placed[80:].count("test") == 2
    assert assign(scenes, Split(folds=5, fold=1)) != assign(scenes, Split(folds=5, fold=1, seed=1))


def test_folds_that_are_none_are_refused():
    for fields, words in (
        ({"folds": 2}, "dataset.split.folds is 2; it is a whole number from 3 to 100"),
        ({"folds": 5, "fold": 5}, "dataset.split.fold is 5; it is a whole number from 0 to 4"),
        ({"folds": 5, "given": "auto"}, "set dataset.split.given to false"),
    ):
        with pytest.raises(FrostlineError, match=words):
            Split(**fields)
    assert "folds" not in Split().as_json()  # what is written of a split without stays the same
