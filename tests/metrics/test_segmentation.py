import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, jaccard_score
from torchmetrics.classification import MulticlassJaccardIndex

from frostline.metrics.segmentation import PixelScores
from frostline.scenes.scene import VOID


@pytest.mark.parametrize("classes", [(0, 1, 2, 3), (1, 3), (2,)])
def test_pixels_are_scored_as_scikit_learn_does(classes):
    # Of five classes some occur; those that do not must not count as 0, nor the void pixels at all.
    generator = torch.Generator().manual_seed(len(classes))
    pool = torch.tensor(classes)
    truth = pool[torch.randint(0, len(pool), (6, 8, 8), generator=generator)]
    found = pool[torch.randint(0, len(pool), (6, 8, 8), generator=generator)]
    truth[0] = VOID
    metric = PixelScores(5)
    for part in (slice(0, 1), slice(1, 5), slice(5, 6)):
        metric.update(found[part], truth[part])
    values = metric.compute()
    a, b = truth[truth != VOID].numpy(), found[truth != VOID].numpy()
    assert float(values["miou"]) == pytest.approx(jaccard_score(a, b, average="macro"))
    assert float(values["dice"]) == pytest.approx(f1_score(a, b, average="macro"))
    assert float(values["pixel_accuracy"]) == pytest.approx(accuracy_score(a, b))
    assert values["confusion"].tolist() == confusion_matrix(a, b, labels=range(5)).tolist()
    told = [-1.0] * 5
    for label, value in zip(classes, jaccard_score(a, b, average=None, labels=classes), strict=True):
        told[label] = value
    assert values["iou_by_class"].tolist() == pytest.approx(told)
    told = [-1.0] * 5
    for label in classes:
        both, each = 0, 0
        for one, other in zip(a.tolist(), b.tolist(), strict=True):
            both += one == other == label
            each += (one == label) + (other == label)
        told[label] = 2 * both / each
    assert values["dice_by_class"].tolist() == pytest.approx(told)
    reference = MulticlassJaccardIndex(5, ignore_index=VOID, average="macro")
    assert float(values["miou"]) == pytest.approx(float(reference(found, truth)), abs=1e-6)


def test_a_set_of_which_nothing_is_known_scores_nothing():
    metric = PixelScores(3)
    metric.update(torch.zeros(1, 4, 4, dtype=torch.long), torch.full((1, 4, 4), VOID))
    values = metric.compute()
    assert float(values["miou"]) == float(values["pixel_accuracy"]) == 0
    assert values["iou_by_class"].tolist() == [-1, -1, -1]


def test_a_large_picture_takes_little_memory_where_torch_is_deterministic():
    # As every run is; torchmetrics' own counting would ask for pixels x cells: 300 GB here.
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        metric = PixelScores(60)
        metric.update(torch.zeros(3000, 3500, dtype=torch.uint8), torch.ones(3000, 3500, dtype=torch.uint8))
        assert metric.compute()["confusion"][1, 0] == 3000 * 3500
    finally:
        torch.use_deterministic_algorithms(before)
