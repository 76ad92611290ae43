"""Parameter groups: a model cut into named, ordered parts, and the labels by which a schedule names its parameters."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from frostline.errors import FrostlineError

Groups = Mapping[str, Sequence[nn.Module]]  # in order, from the stem to the head


def check_partition(model: nn.Module, groups: Groups) -> None:
    """Every parameter of the model lies in exactly one group. Raises FrostlineError naming those that do not."""
    home: dict[int, str] = {}
    twice = []
    for group, parameter in members(groups):
        if id(parameter) in home:
            twice.append(f"{home[id(parameter)]}/{group}")
        home[id(parameter)] = group
    own = dict(model.named_parameters())
    missing = [name for name, parameter in own.items() if id(parameter) not in home]
    if twice:
        wrong = f"groups share parameters: {', '.join(sorted(set(twice)))}"
    elif missing:
        wrong = f"{missing[0]} and {len(missing) - 1} more parameters are in no group"
    elif len(home) > len(own):
        wrong = "a group holds parameters that are not the model's"
    else:
        return
    raise FrostlineError(f"This model cannot be frozen group by group ({wrong}): choose another backbone.name.")


def members(groups: Groups) -> Iterator[tuple[str, nn.Parameter]]:
    """Every parameter with its group, group by group."""
    return ((group, p) for group, modules in groups.items() for module in modules for p in module.parameters())


def labelled(model: nn.Module, groups: Groups) -> dict[str, nn.Parameter]:
    """Every parameter by the label that a schedule's patterns match: `group/kind/name`, group by group.

    kind: `norm` for a parameter of a normalisation layer (torch's, or one named like them), else `bias` for one of at
    most one dimension, else `weight`. name: as `named_parameters` has it.
    Example: `stage2/norm/backbone.stages.stage2.blocks_1.0.bn1.weight`.
    """
    known = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm, nn.RMSNorm)  # timm's derive from torch's
    norms = [m for m in model.modules() if isinstance(m, known) or "Norm" in type(m).__name__]
    of_norms = {id(parameter) for norm in norms for parameter in norm.parameters(recurse=False)}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    labels: dict[str, nn.Parameter] = {}
    for group, parameter in members(groups):
        kind = "norm" if id(parameter) in of_norms else "bias" if parameter.ndim <= 1 else "weight"
        labels[f"{group}/{kind}/{names[id(parameter)]}"] = parameter
    return labels


def keeps_statistics(module: nn.Module) -> bool:
    """Whether this layer gathers statistics of what it sees in training (batch norm and its kin)."""
    return isinstance(module, _NormBase) and module.track_running_stats


def count(parameters: Iterable[nn.Parameter] | Iterable[Tensor]) -> int:
    """Number of scalars."""
    return sum(p.numel() for p in parameters)
