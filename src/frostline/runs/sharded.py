"""Training a network that no device has room for: Lightning's engine for FSDP, with the checkpoints of one process."""

import copy
from collections.abc import Mapping
from typing import Any

from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.strategies import ModelParallelStrategy, Strategy
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from frostline.models.layout import channels_last
from frostline.shares import rank_of_world, whole
from frostline.tasks.base import Task


class Sharded(ModelParallelStrategy):
    """Every process has a part of each parameter and of its optimizer's state, see `freezing.sharded`.

    Checkpoints are those of a run of one process, whole, and written by the first: Lightning's own are a folder of
    parts, or name the optimizer's state otherwise.
    """

    def __init__(self) -> None:
        super().__init__(save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        # All processes have other pictures; Lightning would have those of a node compute the same ones.
        self._data_parallel_size, self._tensor_parallel_size = self.num_nodes * self.num_processes, 1
        super().setup_environment()

    @property
    def lightning_restore_optimizer(self) -> bool:
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        assert self.lightning_module is not None
        return self._gathered(self.lightning_module.state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        plain = optimizer.optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        state = plain.state_dict()
        return {**state, "state": {number: self._gathered(values) for number, values in state["state"].items()}}

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        # Lightning forgets `weights_only` on the way to engines that load once the model is set up.
        return Strategy.load_checkpoint(self, checkpoint_path, weights_only=True)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        assert self.lightning_module is not None
        own = self.lightning_module.state_dict()
        parts = {name: part_of(values, own.get(name)) for name, values in checkpoint["state_dict"].items()}
        self.lightning_module.load_state_dict(parts, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            groups = zip(saved["param_groups"], optimizer.param_groups, strict=True)
            own = {n: each for old, new in groups for n, each in zip(old["params"], new["params"], strict=True)}
            parts = {
                number: {name: part_of(values, own[number]) for name, values in state.items()}
                for number, state in saved["state"].items()
            }
            optimizer.load_state_dict({**saved, "state": parts})

    def _gathered(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Whole and on the processor in the first process; in the others, which only take part, none."""
        kept = {}
        for name, value in values.items():
            all_of_it = whole(value.detach()) if isinstance(value, Tensor) else value
            if self.is_global_zero:
                kept[name] = all_of_it.cpu() if isinstance(all_of_it, Tensor) else all_of_it
        return kept


def part_of(values: Any, like: Tensor | None) -> Any:
    """Of a whole tensor the part that this process has of one that is spread so; anything else as it is."""
    if not (isinstance(like, DTensor) and isinstance(values, Tensor) and values.shape == like.shape):
        return values
    return distribute_tensor(values.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def spread(task: Task) -> Task:
    """The same task, to be spread over processes, with the values of this one, which has none until `gather`."""
    own = {id(each): nn.Parameter(each.data, each.requires_grad) for each in task.parameters()}
    taken: Task = copy.deepcopy(task, dict[int, Any](own))
    for parameter in task.parameters():
        parameter.data = parameter.data.new_empty(0)
    return taken


def gather(taken: Task, task: Task) -> None:
    """Let the first process's `task` be as the one that was taken of it, and trained, now is; every process helps."""
    first, own = rank_of_world()[0] == 0, task.model.state_dict(keep_vars=True)
    for name, values in taken.model.state_dict().items():
        all_of_it = whole(values.detach())
        if first:
            own[name].data = all_of_it.cpu()
    channels_last(task.model)
    task.model.ended, task.tested = taken.model.ended, taken.tested
