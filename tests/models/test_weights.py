"""A file of one's own weights, in a backbone: what fits, what is told, what is refused."""

import os
import pickle
from argparse import Namespace
from copy import deepcopy
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed

from frostline.errors import FrostlineError
from frostline.models.backbones import timm_backbone
from frostline.models.lenet import LeNet5
from frostline.models.resnet import resnet34_plain
from frostline.models.weight_files import check_file, read_weights
from frostline.models.weights import best_match, fill

NAME, VIT = "mobilenetv3_small_050", "vit_tiny_patch16_224"


@cache
def published(name: str = NAME, **options) -> torch.nn.Module:
    """A model whose weights no other has."""
    torch.manual_seed(7)
    return timm.create_model(name, pretrained=False, **options).eval()


@cache
def _made(name: str, size: int | None) -> torch.nn.Module:
    torch.manual_seed(8)
    return timm_backbone(name, pretrained=False, with_embedding=True, image_size=size).eval()


def made(name: str = NAME, size: int | None = None):
    return deepcopy(_made(name, size))


def behind(prefix: str, state: dict) -> dict:
    return {prefix + name: tensor for name, tensor in state.items()}


def lightning(state: dict) -> dict:
    loops = {"epoch_loop.state_dict": {}}
    return {"epoch": 3, "state_dict": behind("model.backbone.", state), "loops": loops, "optimizer_states": [{"lr": 1}]}


SAVED = {
    "safetensors": save_file,
    "a state dict": torch.save,
    "a state dict of before 2020": partial(torch.save, _use_new_zipfile_serialization=False),
    "state_dict": lambda state, path: torch.save({"state_dict": behind("module.", state), "epoch": 1}, path),
    "model": lambda state, path: torch.save({"model": state, "args": Namespace(lr=1)}, path),
    "model_state_dict": lambda state, path: torch.save({"model_state_dict": behind("encoder.", state)}, path),
    "teacher": lambda state, path: torch.save(
        {"student": {k: t + 1 for k, t in state.items()}, "teacher": behind("module.backbone.", state)}, path
    ),
    "Lightning": lambda state, path: torch.save(lightning(state), path),
    "half precision": lambda state, path: save_file({k: t.bfloat16() for k, t in state.items()}, path),
}


@pytest.mark.parametrize("kind", SAVED)
def test_whatever_kind_of_file_the_network_is_the_one_it_was_saved_from(tmp_path, kind):
    file, backbone, model = tmp_path / "mine.bin", made(), published()  # no suffix tells the kind
    SAVED[kind](model.state_dict(), file)
    check_file(file)
    told = fill(backbone, file)
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model.forward_head(model.forward_features(backbone.normalise(picture)), pre_logits=True)
        tolerance = 0.1 if kind == "half precision" else 1e-5
        assert torch.allclose(backbone(picture)[1], expected, atol=tolerance * float(expected.abs().max()))
    assert "242 of 242 tensors filled, 100 % of" in told and "not in the file, so random: nothing" in told
    assert told.count("classifier.weight") == 1  # what the classifier held is not used


def test_position_embeddings_are_resampled_as_timm_does_it(tmp_path):
    """Catches those of a transformer left random, because pictures have another size than the file's."""
    backbone, state = made(VIT, 64), published(VIT).state_dict()
    torch.save(behind("module.", state), tmp_path / "vit.pth")
    assert "100 %" in fill(backbone, tmp_path / "vit.pth")
    expected = resample_abs_pos_embed(state["pos_embed"], (4, 4), verbose=False)
    assert torch.allclose(backbone.model.pos_embed, expected, atol=1e-6)
    assert torch.equal(backbone.model.blocks[11].mlp.fc2.weight, state["blocks.11.mlp.fc2.weight"])


def test_a_run_of_ones_own_is_a_file_of_weights(tmp_path):
    before = made()
    torch.manual_seed(9)
    for parameter in before.parameters():
        torch.nn.init.normal_(parameter)
    save_file(behind("backbone.", before.state_dict()) | {"head.linear.weight": torch.ones(3, 4)}, tmp_path / "run")
    after = made()
    assert "names without 'backbone.'; not used of the file: head.linear.weight" in fill(after, tmp_path / "run")
    assert all(map(torch.equal, after.state_dict().values(), before.state_dict().values()))


def test_backbones_of_ours_and_of_torchvision_take_them_too(tmp_path):
    lenet = LeNet5(with_embedding=True)
    torch.save(behind("net.", lenet.state_dict()), tmp_path / "lenet.pth")
    other = LeNet5(with_embedding=True)
    assert "100 %" in fill(other, tmp_path / "lenet.pth")
    assert all(map(torch.equal, other.parameters(), lenet.parameters()))
    theirs = torchvision.models.resnet34(weights=None).state_dict()
    match = best_match(resnet34_plain(pretrained=False, with_embedding=True), theirs)
    assert match.share == 1 and match.unused == ["fc.weight", "fc.bias"] and not match.absent
    assert torch.equal(match.tensors["stages.stage4.layer4.2.conv2.weight"], theirs["layer4.2.conv2.weight"])


def test_what_does_not_fit_is_told_and_stays_as_it_was(tmp_path):
    """Grey pictures, another head, no layers before the classifier: all usual, none a reason to refuse."""
    backbone, state = made(), dict(published().state_dict())
    state = {name: tensor for name, tensor in state.items() if "conv_head" not in name}
    state |= {"conv_stem.weight": state["conv_stem.weight"][:, :1].clone(), "extra": torch.ones(1)}
    first = backbone.state_dict()["stages.stem.conv_stem.weight"].clone()
    save_file(state, tmp_path / "grey")
    told = fill(backbone, tmp_path / "grey")
    assert "239 of 242 tensors filled, 99.8 %" in told
    assert "not used of the file: classifier.bias, classifier.weight, extra;" in told
    assert "of another shape, so random: conv_stem.weight (there [16, 1, 3, 3], here [16, 3, 3, 3])" in told
    assert told.endswith("not in the file, so random: conv_head.weight, conv_head.bias")
    assert torch.equal(backbone.state_dict()["stages.stem.conv_stem.weight"], first)


def test_another_architecture_is_refused_and_so_is_another_depth(tmp_path):
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "18.pth")
    with pytest.raises(FrostlineError, match=r"of another depth.*120 of 216 .* 52.5 % .*random: layer1.2.conv1.weight"):
        fill(resnet34_plain(pretrained=False), tmp_path / "18.pth")
    with pytest.raises(FrostlineError, match=r"of another architecture than mobilenetv3.* 0.0 %.* 90% are needed"):
        fill(made(), tmp_path / "18.pth")


class Code:
    """Runs as it is unpickled by one who lets it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def cut(path: Path, save) -> None:
    save(published().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-2000])


def one(value: float) -> dict:
    return {**published().state_dict(), "bn1.bias": torch.full((16,), value)}


LEFT_OUT = torch.ones(2, device="meta")
TOLD_AT_ONCE = {
    "cannot be read": lambda path: None,
    "cannot be read .Is a directory": Path.mkdir,
    "is empty": Path.touch,
    "is no checkpoint of torch's, and damaged if": lambda path: path.write_text("<html>404</html>"),
    "and damaged if it is a safetensors": lambda path: cut(path, save_file),
    "is cut off or damaged .*copy or save it anew": lambda path: cut(path, torch.save),
    "is a zip file of other things, and no checkpoint": lambda path: np.savez(path.open("wb"), weight=np.ones(3)),
    "is a network that was exported as TorchScript": lambda path: torch.jit.trace(
        torch.nn.Linear(2, 2), torch.ones(1, 2)
    ).save(path),
}
TOLD_AS_IT_IS_READ = {
    "is cut off or damaged .*copy or save it": lambda path: path.write_bytes(pickle.dumps([1] * 99)[:-9]),
    "holds no tensors by name, nor under any of state_dict, model": lambda path: torch.save([torch.ones(3)], path),
    "holds no tensors by name": lambda path: torch.save({"model": {"weight": 3, "left_out": LEFT_OUT}}, path),
    "of another architecture": lambda path: torch.save({"weight": torch.ones(3)}, path),
    r"holds values in .*bn1.bias that are no finite": lambda path: save_file(one(float("nan")), path),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("words", [*TOLD_AT_ONCE, *TOLD_AS_IT_IS_READ])
def test_what_is_no_file_of_weights_is_told_in_one_sentence(tmp_path, words):
    path = tmp_path / "mine"
    (TOLD_AT_ONCE | TOLD_AS_IT_IS_READ)[words](path)
    with pytest.raises(FrostlineError, match=f"^backbone.weights: .*/mine .*{words}") as error:
        (check_file if words in TOLD_AT_ONCE else partial(fill, made()))(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_named_and_never_run(tmp_path, zipped):
    path, marker = tmp_path / "mine", tmp_path / "ran"
    held = {"state_dict": published().state_dict(), "hyper_parameters": Code(marker)}
    torch.save(held, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(FrostlineError, match=r"holds more than tensors \(posix.mkdir\).*so it is not: give a"):
        read_weights(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)  # the control
    assert marker.is_dir()
