"""What a model of timm tells of itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import timm
from timm.data.config import resolve_model_data_config
from torch import nn

from frostline.models.backbone import FROM_SCRATCH
from frostline.models.hub import WEB


@dataclass(frozen=True)
class Facts:
    """maps: the module after which each leaves -> its channels and stride, finest first. mean, std: of the colours that
    the weights were trained with. input_size: px. weights: where pretrained ones are fetched.
    """

    maps: dict[str, tuple[int, int]]
    mean: Sequence[float]
    std: Sequence[float]
    input_size: int
    embedding_size: int
    weights: str


def facts_of(model: nn.Module) -> Facts:
    info = cast(Any, model).feature_info
    maps = info if isinstance(info, list) else info.get_dicts()
    data = resolve_model_data_config(model)
    config = getattr(model, "pretrained_cfg", {})
    return Facts(
        {str(one["module"]): (int(one["num_chs"]), int(one["reduction"])) for one in maps},
        data["mean"],
        data["std"],
        int(data["input_size"][-1]),
        int(getattr(model, "head_hidden_size", None) or cast(Any, model).num_features),
        str(config.get("hf_hub_id") or (WEB if config.get("url") else FROM_SCRATCH)),
    )


def is_fixed_size(name: str) -> bool:
    """Whether the model of this name is built for one side of pictures."""
    config = timm.get_pretrained_cfg(name)
    return bool(config and config.fixed_input_size)
