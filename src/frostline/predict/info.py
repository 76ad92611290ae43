"""What travels with a model, beside its weights: all that turns pictures into predictions, and where it comes from."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from frostline.errors import FrostlineError
from frostline.pictures.preprocessing import Preprocessing
from frostline.predict.answers import ANSWERS, Rule

FORMAT = 1


@dataclass(frozen=True)
class ModelInfo:
    """All that is known of a model.

    name: of the run that it comes from. task: one of ANSWERS. classes: their names, in the order of the network's
    outputs. network: the groups of the configuration that build it (`task`, `backbone`, `head`). tested: how its run
    was tested (batch size, threads, precision, a metric of one's own), which `frostline evaluate` does again.
    origin: where it comes from, for whoever reads it (study, arm, seed, commit, data_hash, versions, metrics, …);
    nothing is computed by it.
    """

    name: str
    task: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    rule: Rule = field(default_factory=Rule)
    network: Mapping[str, Any] = field(default_factory=dict)
    tested: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """As `model.json` has it, and the metadata of exported files."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str) -> "ModelInfo":
        """What `to_json` wrote. Raises FrostlineError where it is nothing such, or of another version."""
        try:
            held = json.loads(text)
            version = held.pop("format")
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise FrostlineError(f"{where} holds no description of a model of Frostline's: export it again.") from error
        if version != FORMAT:
            raise FrostlineError(
                f"{where} has the format {version}, and this version of Frostline reads {FORMAT}: export it again, or "
                "take the version that wrote it."
            )
        try:
            info = cls(
                name=str(held["name"]),
                task=held["task"],
                classes=tuple(map(str, held["classes"])),
                preprocessing=Preprocessing(**held["preprocessing"]),
                rule=Rule(**held["rule"]),
                network=dict(held["network"]),
                tested=dict(held["tested"]),
                origin=dict(held["origin"]),
            )
        except (KeyError, TypeError, ValueError, FrostlineError) as error:
            lacking = f"lacks {error}" if isinstance(error, KeyError) else f"cannot be read ({error})"
            raise FrostlineError(f"The description of the model in {where} {lacking}: export it again.") from error
        if info.task not in ANSWERS:
            raise FrostlineError(f"{where} is of the task '{info.task}'; {', '.join(ANSWERS)} are known.")
        if not info.classes:
            raise FrostlineError(f"{where} names no classes, so that nobody knows what it says: export it again.")
        return info
