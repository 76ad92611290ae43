"""Parameter groups: a model cut into named, ordered parts, and the freezing of some of them."""

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor, nn

Groups = Mapping[str, Sequence[nn.Module]]  # in order, from the stem to the head


def check_partition(model: nn.Module, groups: Groups) -> None:
    """Every parameter of the model lies in exactly one group. Raises AssertionError naming those that do not."""
    home: dict[int, str] = {}
    twice = []
    for group in groups:
        for parameter in parameters_of(groups, group):
            if id(parameter) in home:
                twice.append(f"{home[id(parameter)]}/{group}")
            home[id(parameter)] = group
    assert not twice, f"parameters in two groups: {sorted(set(twice))}"
    own = dict(model.named_parameters())
    missing = [name for name, parameter in own.items() if id(parameter) not in home]
    assert not missing, f"parameters in no group: {missing}"
    assert len(home) == len(own), "a group holds parameters that are not the model's"


def parameters_of(groups: Groups, group: str) -> Iterator[nn.Parameter]:
    """The parameters of one group."""
    for module in groups[group]:
        yield from module.parameters()


def set_frozen(groups: Groups, frozen: Sequence[str]) -> None:
    """No gradients for these groups, and gradients for all others."""
    for group, modules in groups.items():
        for module in modules:
            module.requires_grad_(group not in frozen)


def count(parameters: Iterator[nn.Parameter] | Iterator[Tensor]) -> int:
    """Number of scalars."""
    return sum(p.numel() for p in parameters)
