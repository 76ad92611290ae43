"""Groups of modules, read off a model's own order.

timm's models declare groups themselves (`group_matcher`), which was not enough: they do not end where feature maps
leave, where what lies below a frost line is kept, and how many there are is up to each model. Tried on eight: the same
as ours for resnet18, and for convnext and swin but for the last norm, which timm sets apart; 8 for 5 or 6 on mobilenet
and efficientnet, and 13 for 5, a block each, on a vision transformer.
"""

import re
from collections.abc import Sequence

from torch import nn


def units_of(module: nn.Module, ends: Sequence[str], prefix: str = "") -> list[tuple[str, nn.Module]]:
    """The model's modules in the order they run, opened only where a feature map leaves from inside of one."""
    units: list[tuple[str, nn.Module]] = []
    for name, child in module.named_children():
        full = prefix + name
        if any(end.startswith(full + ".") for end in ends):
            units += units_of(child, ends, full + ".")
        else:
            units.append((full, child))
    return units


def end_of_stem(units: Sequence[tuple[str, nn.Module]], ends: Sequence[str]) -> int:
    """How many units the stem has.

    The stem ends where the first feature map leaves (resnet: `act1`), unless that is already the first of a row of
    alike stages (efficientnet: `blocks.0`, convnext: `stages.0`): then it is what comes before them.
    """
    names = [name for name, _ in units]
    row = re.match(r"(.*)[._]\d+$", ends[0])  # `blocks.0`; `layers_0` where timm has flattened the model
    if row is None or len(ends) < 2 or not re.match(re.escape(row[1]) + r"[._]\d+$", ends[1]):
        return names.index(ends[0]) + 1
    before = next(i for i, name in enumerate(names) if name.startswith(row[1]))
    has_parameters = any(True for _, unit in units[:before] for _ in unit.parameters())
    return before if has_parameters else names.index(ends[0]) + 1


def groups_by_name(model: nn.Module, ends: Sequence[str]) -> dict[str, list[nn.Module]]:
    """Stages of a model that is no chain: modules in their order of definition, cut after each one named in `ends`."""
    groups: dict[str, list[nn.Module]] = {"stem": []}
    units = units_of(model, ends)
    names = [name for name, _ in units]
    last = names.index(ends[-1]) + 1  # what follows the last feature map (a final norm) belongs to the last stage
    cuts = {end_of_stem(units, ends), *(names.index(end) + 1 for end in ends)} - {last}
    for i, (_, unit) in enumerate(units):
        k = sum(i >= cut for cut in cuts)
        groups.setdefault("stem" if k == 0 else f"stage{k}", []).append(unit)
    if loose := dict(model.named_parameters(recurse=False)):  # class token, position embedding
        groups["stem"].append(nn.ParameterDict(loose))  # read right after the patches
    return groups
