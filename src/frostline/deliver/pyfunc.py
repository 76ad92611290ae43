"""A model as MLflow serves it: from pictures in a table, a list or JSON to predictions as JSON."""

import binascii
from base64 import b64decode
from typing import Any

import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel

from frostline.errors import FrostlineError
from frostline.pictures.preprocessing import Picture
from frostline.predict.model import Model
from frostline.predict.written import as_json

COLUMN = "picture"
FORMS = (
    f"give a column '{COLUMN}' of pictures, each as base64 of a file's bytes, as bytes, or as RGB pixels "
    "(height x width x 3, whole numbers from 0 to 255)"
)


class PictureModel(PythonModel):
    """The folder of a model, as MLflow's artifact `model`.

    What is text is base64, and never a path, so that nobody reads the disk of a server by it.
    """

    def load_context(self, context: Any) -> None:
        from frostline.runs.load import load

        self.model: Model = load(context.artifacts["model"])

    # Whatever it is given, MLflow makes a table of it, by the signature. It reads this type, and warns where none is.
    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """For each picture what its prediction says as JSON, see `as_json`, or `{"error": …}` for what is none."""
        asked = [_picture(one, number) for number, one in enumerate(pictures_in(model_input))]
        # What is none keeps its place, so that the others are called by their own numbers.
        found = self.model.stream(b"" if isinstance(one, FrostlineError) else one for one in asked)
        answers = [one if isinstance(one, FrostlineError) else answer for one, answer in zip(asked, found, strict=True)]
        return [{"error": str(one)} if isinstance(one, FrostlineError) else as_json(one) for one in answers]


def pictures_in(table: pd.DataFrame) -> list[Any]:
    """What is one picture each. MLflow makes one row of a column that is a list of texts."""
    return [each for one in table[COLUMN].tolist() for each in (one if _is_texts(one) else [one])]


def _is_texts(value: Any) -> bool:
    texts = isinstance(value, list | np.ndarray) and all(isinstance(one, str | bytes) for one in value)
    return texts and len(value) > 0


def _picture(given: Any, number: int) -> Picture | FrostlineError:
    """One picture of a request: bytes, or pixels. number: by which it is called."""
    name = f"The picture at index {number}"
    if isinstance(given, bytes):
        return given
    if isinstance(given, str):
        try:
            return b64decode("".join(given.split()), validate=True)
        except (binascii.Error, ValueError):  # ValueError: letters beyond ASCII
            return FrostlineError(f"{name} is a text and no base64: {FORMS}.")
    try:
        pixels = np.asarray(given)
    except ValueError:  # lists of different lengths
        pixels = np.empty(0)
    if pixels.ndim != 3 or pixels.dtype.kind not in "iu" or pixels.size == 0 or pixels.min() < 0 or pixels.max() > 255:
        return FrostlineError(f"{name} is neither base64, bytes nor pixels: {FORMS}.")
    return pixels.astype(np.uint8)
