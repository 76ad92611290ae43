"""A model as MLflow serves it: from pictures in a table, a list or JSON to predictions as JSON."""

import binascii
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
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

    # MLflow reads the types of these, and takes them for a schema, or warns: the signature of the model has it.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """For each picture what its prediction says as JSON, see `as_json`, or `{"error": …}` for what is none."""
        asked = [_picture(one, number) for number, one in enumerate(pictures_in(model_input))]
        # What is none keeps its place, so that the others are called by their own numbers.
        found = self.model.stream(b"" if isinstance(one, FrostlineError) else one for one in asked)
        answers = [one if isinstance(one, FrostlineError) else answer for one, answer in zip(asked, found, strict=True)]
        return [{"error": str(one)} if isinstance(one, FrostlineError) else as_json(one) for one in answers]


def pictures_in(given: Any) -> list[Any]:
    """What of an input of MLflow's is one picture each: of a table or mapping, or a list or array of them.

    Raises MlflowException, which a server answers by 400, where there are none.
    """
    if hasattr(given, "columns"):  # a table of pandas
        if COLUMN not in given.columns:
            raise _refused(f"The table has no column '{COLUMN}'")
        given = given[COLUMN].tolist()
    elif isinstance(given, Mapping):
        if COLUMN not in given:
            raise _refused(f"The input has no '{COLUMN}'")
        given = given[COLUMN]
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        given = [given]
    # MLflow makes one row of a column that is a list of texts.
    return [each for one in given for each in (one if _is_texts(one) else [one])]


def _is_texts(value: Any) -> bool:
    texts = isinstance(value, list | np.ndarray) and all(isinstance(one, str | bytes) for one in value)
    return texts and len(value) > 0


def _picture(given: Any, number: int) -> Picture | FrostlineError:
    """One picture of a request: bytes, or pixels. number: by which it is called."""
    name = f"The picture at index {number}"
    if isinstance(given, Mapping) and set(given) == {COLUMN}:
        given = given[COLUMN]
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


def _refused(what: str) -> Exception:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import BAD_REQUEST

    return MlflowException(f"{what}: {FORMS}.", error_code=BAD_REQUEST)
