"""The MLflow tracking store: which one, whether it answers, and its safe creation."""

import http.client
import os
import re
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from filelock import FileLock, Timeout

from frostline.errors import FrostlineError

LOCAL_STORE = Path("runs/mlflow")
ANSWER_WITHIN = 10.0  # seconds; MLflow's own client would retry for minutes
WAIT = 300  # seconds, for others who create the store


def tracking_uri(configured: str | None) -> str:
    """The configured address; else MLFLOW_TRACKING_URI; else a local sqlite file."""
    given = configured or os.environ.get("MLFLOW_TRACKING_URI")
    return given or f"sqlite:///{(LOCAL_STORE / 'mlflow.db').resolve()}"


def check_reached(uri: str) -> None:
    """Raise FrostlineError where a server does not answer, or a file cannot be written. MLflow is not imported."""
    if uri.startswith(("http://", "https://")):
        _check_server(uri)
    elif uri.startswith("sqlite:"):
        _check_folder(_folder_of(uri), uri)


def _folder_of(uri: str) -> Path:
    return Path(uri.removeprefix("sqlite:///")).parent


def open_experiment(uri: str, name: str) -> str:
    """The id of the experiment of this name, created with its store where they are not there yet.

    Safe when many runs start at once: several processes that migrate one fresh sqlite file break it, so that happens
    under a lock. Raises FrostlineError where the store cannot be reached or written.
    """
    check_reached(uri)
    from mlflow import MlflowClient  # here, so that nobody waits for it at the lock
    from mlflow.exceptions import MlflowException

    folder = _folder_of(uri) if uri.startswith("sqlite:") else None
    try:
        with FileLock(folder / ".lock", timeout=WAIT) if folder else nullcontext(), refusing(uri):
            client = MlflowClient(uri)
            found = client.get_experiment_by_name(name)
            if found is None:
                artifacts = (folder / "artifacts").resolve().as_uri() if folder else None
                # MLflow's pages open as a model's experiment, not as a chat application's.
                kind = {"mlflow.experimentKind": "custom_model_development"}
                try:
                    return str(client.create_experiment(name, artifact_location=artifacts, tags=kind))
                except MlflowException:  # somebody else was quicker
                    found = client.get_experiment_by_name(name)
                    if found is None:
                        raise
            if found.lifecycle_stage == "deleted":
                raise FrostlineError(
                    f"The experiment '{name}' is in the trash of {without_password(uri)}: restore it there, or choose "
                    "another study name."
                )
            return str(found.experiment_id)
    except Timeout:
        raise FrostlineError(
            f"The tracking store {uri} has been held by another process for more than {WAIT} seconds: stop what hangs "
            f"there (it has {folder}/.lock open), and train again."
        ) from None


# Before the last @, without a slash or after a colon that is not a port's; files have no host, so none of it.
_WHO = re.compile(r"^([\w+.-]+://)(?!/)(?![^/@:]*:\d+/)([^/:]*|[^/:]*:.*)@")
_SECRET = re.compile(r"([?&][^=&]*(?:passw|pwd|token)[^=&]*=)[^&]*", re.IGNORECASE)


def without_password(uri: str) -> str:
    """An address as it can be shown: without a user's name and password, however it is malformed."""
    return _SECRET.sub(r"\1…", _WHO.sub(r"\1", uri))


def holds_password(uri: str) -> bool:
    """Whether an address tells more than others may know; a user's name alone is nothing of it."""
    who = _WHO.match(uri)
    return bool(who and ":" in who[2]) or bool(_SECRET.search(uri))


@contextmanager
def refusing(uri: str) -> Iterator[None]:
    """What goes wrong with a store, as one sentence. Raises FrostlineError."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, ImportError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FrostlineError(
            f"The tracking store {without_password(uri)} cannot be used ({reason}): check its address and rights, "
            "or unset MLFLOW_TRACKING_URI and tracking.uri for a local one."
        ) from error


def _check_folder(folder: Path, uri: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # a name of its own: runs that start at once would take each other's
            pass
    except OSError as error:
        raise FrostlineError(
            f"The tracking store {uri} cannot be written ({error.strerror}): "
            "make its folder writable, or set tracking.uri or MLFLOW_TRACKING_URI to another one."
        ) from error


def _check_server(uri: str) -> None:
    bare = without_password(uri)  # urllib takes none either
    try:
        with urllib.request.urlopen(f"{bare.rstrip('/')}/health", timeout=ANSWER_WITHIN):
            return
    except urllib.error.HTTPError as error:
        if error.code < 500:  # it answers; MLflow's client brings its own credentials
            return
        reason: object = f"HTTP {error.code}"
    except (urllib.error.URLError, OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
    raise FrostlineError(
        f"The tracking server {bare} cannot be reached ({reason}): start it, or unset "
        "MLFLOW_TRACKING_URI and tracking.uri for a local store."
    )
