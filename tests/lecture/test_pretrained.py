import numpy as np
import pytest
import timm
import torch
from timm.data import ImageNetInfo

from frostline.lecture.imagenet import imagenet, names_of_classes, weights_of

PICTURE = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)


# The reference: timm's own network, and by hand what pictures go through.
def test_probabilities_are_those_of_the_whole_network(name="efficientnet_lite0"):
    whole = timm.create_model(f"tf_{name}").eval()
    whole.load_state_dict(dict(zip(whole.state_dict(), weights_of(name).values(), strict=True)))
    with torch.no_grad():
        scores = whole(torch.from_numpy(PICTURE).permute(2, 0, 1)[None] / 127.5 - 1)[0]
    found = imagenet(name).predict([PICTURE])[0]
    assert found.probabilities == pytest.approx(scores.softmax(0).numpy(), abs=1e-5)
    assert found.name == names_of_classes()[int(scores.argmax())]


def test_names_are_in_the_order_of_the_scores():
    # timm's list of the same classes, from WordNet, has several names for most.
    theirs = [name.split(", ") for name in ImageNetInfo().label_descriptions()]
    alike = [ours in known for ours, known in zip(names_of_classes(), theirs, strict=True)]
    assert len(alike) == 1000 and sum(alike) > 980
