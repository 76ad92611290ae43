"""Which picture sizes a backbone and a head take."""

from frostline.config import Config
from frostline.errors import FrostlineError
from frostline.models.backbone import Backbone
from frostline.models.heads.base import Head


def smallest_side(backbone: Backbone, head: Head | type[Head]) -> int:
    """px; of the pictures that both take."""
    return max(head.smallest, backbone.smallest, backbone.step, min(backbone.sides, default=1))


def check_size(config: Config, backbone: Backbone, head: Head) -> None:
    """Raise FrostlineError where a picture or a part of it has a size that they do not take.

    All feature maps must lie upon the picture and upon each other, and some decoders halve the last one again.
    """
    size, step, smallest = config["image_size"], backbone.step, smallest_side(backbone, head)
    cuts = {"augment.side": config["augment"].get("side"), "task.window": config["task"].get("window")}
    for name, side in {"image_size": size, **cuts}.items():
        if side is not None and backbone.sides and side not in backbone.sides:
            sides = " or ".join(map(str, backbone.sides))
            raise FrostlineError(
                f"{name} is {side}, and {backbone.name} takes pictures of {sides} px: set {name}={backbone.sides[-1]}."
            )
        if side is not None and (side < smallest or side % step):
            raise FrostlineError(
                f"{name} is {side}, and head={config['head']['name']} on {backbone.name} needs a multiple of {step}, "
                f"at least {smallest}: set {name}={max(-(-side // step) * step, smallest)}."
            )
        if side is not None and side > size:
            raise FrostlineError(f"{name} is {side}, more than image_size, which is {size}: it is cut out of that.")
    side, least = cuts["augment.side"], head.learns_from
    if side is not None and side < min(size, least) and cuts["task.window"] != side:
        raise FrostlineError(
            f"augment.side is {side}, and on less than {least} px head={config['head']['name']} leaves weights "
            f"untrained that it uses on pictures of {size} px: set augment.side={min(size, least)} or "
            f"task.window={side}, or, for deeplabv3plus, smaller head.rates."
        )
