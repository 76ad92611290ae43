"""Heat maps: evidence that lies in one place by construction is shown there, in the picture's own pixels."""

import numpy as np
import pytest
import torch
from PIL import Image

from frostline.config import compose
from frostline.errors import FrostlineError
from frostline.pictures.preprocessing import Preprocessing
from frostline.predict.heat import GAP, explanation_picture
from frostline.predict.info import ModelInfo
from frostline.predict.model import Model
from frostline.runs.explain import evidence, explained
from frostline.runs.network import BUILT, TorchEngine, bare

CLASSES = ("dark", "bright")


def model_of(*overrides, size=64, fit="stretch"):
    config = compose([f"image_size={size}", *overrides])
    network = {group: config[group] for group in BUILT}
    torch.manual_seed(0)
    task = bare(network, CLASSES, size, "a test")
    return Model(
        ModelInfo("mine", task.kind, CLASSES, Preprocessing(size, fit), task.rule, network), TorchEngine(task, "cpu")
    )


@pytest.fixture
def brightness():
    """A model that takes a picture for bright by how bright its pixels are, wherever they lie."""

    def made(fit):
        model = model_of("backbone=small_cnn", size=128, fit=fit)
        network = model.engine.task.model
        for layers in network.backbone.stages:
            convolution, norm = layers[0], layers[1]
            convolution.weight.data.zero_()
            middle = convolution.kernel_size[0] // 2
            convolution.weight.data[0, 0, middle, middle] = 1  # red, and then what came of it
            norm.weight.data.fill_(1)
            norm.bias.data.zero_()
            norm.running_mean.zero_()
            norm.running_var.fill_(1)
        network.head.linear.weight.data.zero_()
        network.head.linear.weight.data[1, 0] = 1
        network.head.linear.bias.data.zero_()
        return model

    return made


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
@pytest.mark.parametrize(("corner", "box"), [("left", (0, 0, 40, 24)), ("right", (200, 40, 240, 64))])
def test_evidence_in_one_corner_gives_heat_there(brightness, fit, corner, box):
    """Catches maps that are mirrored, transposed, shifted by a margin, or of the square in place of the picture."""
    picture = np.zeros((64, 240, 3), np.uint8)
    picture[box[1] : box[3], box[0] : box[2]] = 255
    ((found, heat),) = explained(brightness(fit), [picture])
    assert found.name == "bright" and heat.shape == (64, 240) and heat.dtype == np.float32
    assert heat.max() == pytest.approx(1) and heat.min() >= 0
    inside = heat[box[1] : box[3], box[0] : box[2]].sum()
    rows, columns = np.nonzero(heat > 0.5)
    assert inside / heat.sum() > 0.5
    assert abs(columns.mean() - (box[0] + box[2]) / 2) < 6 and abs(rows.mean() - (box[1] + box[3]) / 2) < 6


@pytest.mark.parametrize("first", [16, 56, 96])
def test_cells_of_a_network_without_padding_lie_where_they_look(brightness, first):
    picture = np.zeros((128, 128, 3), np.uint8)
    picture[first : first + 16, 40:56] = 255
    ((_, heat),) = explained(brightness("stretch"), [picture])
    rows, columns = (heat.sum(axis) @ np.arange(128) / heat.sum() + 0.5 for axis in (1, 0))
    assert abs(rows - (first + 8)) < 2 and abs(columns - 48) < 2


def grad_cam(task, images, part, as_map):
    """A second way: one class and picture at a time, by hooks on a module, as the paper's figure 2 has it."""
    kept = {}
    hooks = [
        part.register_forward_hook(lambda module, inputs, output: kept.update(value=output)),
        part.register_full_backward_hook(lambda module, inputs, outputs: kept.update(slope=outputs[0])),
    ]
    heats = []
    for image in images:
        task.zero_grad()
        scores = task((image[None].float() / 255).requires_grad_())
        scores[0, scores.argmax()].backward()
        value, slope = as_map(kept["value"].detach())[0], as_map(kept["slope"])[0]
        heats.append(sum(slope[k].mean() * value[k] for k in range(len(value))).clamp(min=0))
    for hook in hooks:
        hook.remove()
    return torch.stack(heats)


@pytest.mark.parametrize(
    ("overrides", "part", "as_map"),
    [
        (["backbone=resnet18"], lambda b: list(b.stages.values())[-1], lambda x: x),
        (
            ["backbone=timm", "backbone.name=vit_tiny_patch16_224"],
            lambda b: b.model.blocks[-2],
            lambda x: x[:, 1:].transpose(1, 2).unflatten(2, (4, 4)),
        ),
        (
            ["backbone=timm", "backbone.name=swin_tiny_patch4_window7_224"],
            lambda b: b.model.layers[-1],
            lambda x: x.permute(0, 3, 1, 2),
        ),
    ],
    ids=["chain", "class token", "channels last"],
)
def test_it_is_what_hooks_on_the_last_map_give(overrides, part, as_map):
    """Catches batches whose pictures get into one another, tokens in another order, and gradients that are cut."""
    size = 224 if "swin" in overrides[-1] else 64
    task = model_of(*overrides, "backbone.pretrained=false", size=size).engine.task
    images = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    backbone = task.model.backbone
    expected = grad_cam(task, images, part(backbone), as_map)
    _, heats = evidence(task, images)
    expected = torch.nn.functional.interpolate(expected[:, None], (size, size), mode="bilinear")[:, 0]
    assert expected.max() > 0 and torch.allclose(heats, expected, rtol=1e-3, atol=1e-5 * float(expected.max()))


def test_a_stream_goes_on_where_something_is_no_picture(brightness, tmp_path):
    picture = np.full((40, 30, 3), 200, np.uint8)
    found = list(explained(brightness("stretch"), [picture, b"", picture], batch_size=2))
    assert [heat is None for _, heat in found] == [False, True, False] and "is empty" in str(found[1][0])
    assert np.allclose(found[0][1], found[2][1])
    page = explanation_picture(Image.fromarray(picture), *found[0])
    assert page.size == (2 * 30 + GAP, 40)


def test_what_has_no_heat_map_is_told_in_a_sentence(brightness):
    model = brightness("stretch")
    with pytest.raises(FrostlineError, match="is an exported file, which has no gradients"):
        next(explained(Model(model.info, lambda squares: {}), []))
    with pytest.raises(FrostlineError, match="mine is of detection"):
        next(explained(model_of("task=detection", "head=fully_convolutional", "backbone=small_cnn"), []))
