"""What lies below the frost line, computed as a trainer would."""

from collections.abc import Sequence

import pytorch_lightning as pl
import torch
from torch import Tensor

from frostline.freezing.frosted import Frosted
from frostline.shares import rank_of_world


def computed(trainer: pl.Trainer, model: Frosted, image: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Pictures (B, 3, S, S) -> these activations, on the processor, in the trainer's precision."""
    # Of several processes as Lightning evaluates: what FSDP gathers in inference mode is of no use in training.
    with torch.inference_mode(rank_of_world()[1] == 1), trainer.precision_plugin.forward_context():
        return {name: values.cpu() for name, values in model.below(image.to(model.device), names).items()}


def row_bytes(trainer: pl.Trainer, model: Frosted, names: Sequence[str], size: int) -> dict[str, int]:
    """How much each of these activations takes of one picture. size: px, its side."""
    found = computed(trainer, model, torch.zeros(2, 3, size, size, dtype=torch.uint8), names)
    return {name: values[0].numel() * values.element_size() for name, values in found.items()}
