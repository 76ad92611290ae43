"""Frostline: which pretrained architecture, how deep frozen, for how long?

    import frostline

    result = frostline.train("task=detection", "schedule=thaw")
    frostline.load(result.folder).predict(["meadow.jpg"])

What is named here is what there is to use from Python; all of it is imported when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from frostline.environment import settle

if TYPE_CHECKING:
    from frostline.errors import FrostlineError as FrostlineError
    from frostline.predict.kinds import Classified as Classified
    from frostline.predict.kinds import Detected as Detected
    from frostline.predict.kinds import Located as Located
    from frostline.predict.kinds import Segmented as Segmented
    from frostline.predict.model import Model as Model
    from frostline.runs.alone import prepare as prepare
    from frostline.runs.alone import train as train
    from frostline.runs.evaluate import evaluate as evaluate
    from frostline.runs.explain import explained as explained
    from frostline.runs.load import load as load
    from frostline.runs.result import RunResult as RunResult
    from frostline.scenes.dataset import Dataset as Dataset
    from frostline.scenes.scene import Scene as Scene

_FROM = {
    "errors": ["FrostlineError"],
    "predict.kinds": ["Classified", "Detected", "Located", "Segmented"],
    "predict.model": ["Model"],
    "runs.alone": ["prepare", "train"],
    "runs.evaluate": ["evaluate"],
    "runs.explain": ["explained"],
    "runs.load": ["load"],
    "runs.result": ["RunResult"],
    "scenes.dataset": ["Dataset"],
    "scenes.scene": ["Scene"],
}
_WHERE = {name: module for module, names in _FROM.items() for name in names}

__all__ = list(_WHERE)

settle()


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'frostline' has no attribute '{name}'")
    return getattr(import_module(f"frostline.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
