"""How often classes are annotated, and scenes of rare ones drawn."""

from collections import Counter

import pytest
import torch

from frostline.loading.module import SceneDataModule
from frostline.loading.occurrences import Occurrences
from frostline.loading.samplers import ViewSampler, drawn
from frostline.scenes.scene import VOID


def occurrences(*scenes):
    return Occurrences.of(torch.tensor(numbers, dtype=torch.long) for numbers in scenes)


def weights_of(labels):
    return occurrences(*([label] for label in labels)).balance(len(labels))


def test_scenes_are_weighed_by_their_rarest_class():
    # Class 0 is in four scenes, 1 in two, 3 in one, 2 in none; the last scene has none.
    found = occurrences([0], [0, 0, 0], [0, 1], [0, 1, 1, 3], [])
    assert found.by_class(5).tolist() == [6, 3, 0, 1, 0]
    assert found.balance(5).tolist() == [1 / 4, 1 / 4, 1 / 2, 1, 1 / 4]
    assert occurrences([], []).balance(2).tolist() == [1, 1]  # nothing is annotated anywhere


def test_each_label_is_drawn_as_often_as_any_other():
    labels = [0] * 85 + [1] * 10 + [2] * 5
    for seed in range(10):
        order = drawn(weights_of(labels), torch.Generator().manual_seed(seed)).tolist()
        often = Counter(order)
        classes = Counter(labels[position] for position in order)
        assert len(order) == 100 and all(abs(classes[label] - 100 / 3) < 2 for label in range(3))
        # No scene is left to luck: 33.3 draws for 5 scenes are 6 or 7 of each, for 85 at most one.
        assert {often[position] for position in range(95, 100)} <= {6, 7}
        assert {often[position] for position in range(85)} <= {0, 1}


def test_where_all_are_alike_each_scene_comes_once():
    order = drawn(weights_of([0, 1, 2, 0, 1, 2]), torch.Generator().manual_seed(0))
    assert sorted(order.tolist()) == list(range(6))


def keys(epoch=0, seed=0, views=None, labels=(0,) * 18 + (1,) * 2):
    sampler = ViewSampler(len(labels), seed, 4, views, weights_of(labels))
    sampler.set_epoch(epoch)
    return list(sampler)


def test_an_epoch_is_a_function_of_seed_and_epoch():
    assert keys() == keys() and keys() != keys(seed=1)
    assert [p for p, _ in keys()] != [p for p, _ in keys(epoch=1)]


def test_a_scene_that_comes_again_does_so_in_a_new_view_unless_views_are_counted():
    # Else a network would see the very same picture five times an epoch; but what is kept is one view an epoch.
    new = keys(epoch=3)
    assert len(set(new)) == len(new) == 20 and len({position for position, _ in new}) < 20
    assert not set(new) & set(keys(epoch=4))
    assert {view for _, view in keys(epoch=3, views=2)} == {1}


@pytest.mark.parametrize(
    "needs", [{"label"}, {"boxes"}, {"label", "boxes"}, {"mask"}], ids=["label", "boxes", "one_box", "mask"]
)
def test_what_is_counted_is_what_training_reads(small_meadow, needs):
    data = SceneDataModule(small_meadow, needs, image_size=48, batch_size=4, balanced=True)
    counted = data.occurrences.by_class(len(data.classes))
    expected = torch.zeros_like(counted)
    for position in range(len(items := data.items("train"))):
        item = items.plain(position)
        numbers = item["mask"][item["mask"] != VOID] if "mask" in needs else item.get("label", item.get("box_labels"))
        expected += torch.bincount(torch.as_tensor(numbers).reshape(-1).long(), minlength=len(counted))
    assert counted.tolist() == expected.tolist() and counted.sum() > 0
    sampler = data.train_dataloader().batch_sampler.sampler
    assert len(sampler) == len(list(sampler)) == 20 and len(sampler.weights) == 20
