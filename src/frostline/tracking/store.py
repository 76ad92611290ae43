"""The MLflow tracking store: which one, whether it answers, and its safe creation."""

import http.client
import importlib.util
import os
import re
import socket
import ssl
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from filelock import FileLock, Timeout

from frostline.errors import FrostlineError
from frostline.tracking.base import Unreachable

LOCAL_STORE = Path("runs/mlflow")
ANSWER_WITHIN = 10.0  # seconds; MLflow's own client would retry for minutes
WAIT = 300  # seconds, for others who create the store
LOCK = 0x46726F73746C696E  # "Frostlin", among the advisory locks of a PostgreSQL database
SECRET = 4  # letters from which on a password is looked for in what others say: less would be in any word
LOCK_NOT_AVAILABLE = "55P03"  # as PostgreSQL numbers it
# What passes by itself, as databases say it: one that has just been started or stopped, or has too many at once.
PASSES = re.compile(
    r"starting up|shutting down|in recovery mode|too many clients|connection slots|terminating connection|"
    r"connection (is )?(refused|reset|closed|lost|timed out|timeout)|closed the connection|database is locked",
    re.IGNORECASE,
)


def tracking_uri(configured: str | None) -> str:
    """The configured address; else MLFLOW_TRACKING_URI; else a local sqlite file."""
    given = configured or os.environ.get("MLFLOW_TRACKING_URI")
    return given or f"sqlite:///{(LOCAL_STORE / 'mlflow.db').resolve()}"


def check_reached(uri: str) -> None:
    """Raise Unreachable where a server does not answer, and FrostlineError where an address cannot be one, a driver is
    missing or a file cannot be written. MLflow is not imported."""
    if _is_server(uri):
        _check_server(uri)
    elif uri.startswith("sqlite:"):
        _check_folder(_folder_of(uri), uri)
    elif uri.startswith("postgresql"):
        _check_driver(uri)
        _check_port(uri)


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def _folder_of(uri: str) -> Path:
    """Where artifacts of a database lie that no server stands before."""
    return Path(uri.removeprefix("sqlite:///")).parent if uri.startswith("sqlite:") else LOCAL_STORE


def open_experiment(uri: str, name: str) -> str:
    """The id of the experiment of this name, created with its store where they are not there yet.

    Safe when many runs start at once: several processes that migrate one fresh database break it, so that happens
    under a lock. Raises as `check_reached` and `refusing`.
    """
    check_reached(uri)
    from mlflow import MlflowClient  # here, so that nobody waits for it at the lock
    from mlflow.exceptions import MlflowException

    with _alone(uri), refusing(uri):
        client = MlflowClient(uri)
        found = client.get_experiment_by_name(name)
        if found is None:
            artifacts = None if _is_server(uri) else (_folder_of(uri) / "artifacts").resolve().as_uri()
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


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Within, no other run creates or migrates this store. A server does that itself, before it answers.

    The lock is let go of when the process ends, however it ends. Raises FrostlineError where it is held for WAIT.
    """
    held = FrostlineError(
        f"The tracking store {without_password(uri)} has been held by another process for more than {WAIT} seconds: "
        "stop what hangs there, and train again."
    )
    if uri.startswith("sqlite:"):
        lock = FileLock(_folder_of(uri) / ".lock", timeout=WAIT)
        try:
            lock.acquire()
        except Timeout:
            raise held from None
        try:
            yield
        finally:
            lock.release()
    elif uri.startswith("postgresql"):
        from sqlalchemy import NullPool, create_engine, text
        from sqlalchemy.exc import OperationalError

        with refusing(uri):
            engine = create_engine(uri, poolclass=NullPool)
            with engine.begin() as connection:
                # Of the transaction and not the session, which poolers before a database share out.
                connection.execute(text(f"SET LOCAL lock_timeout = '{WAIT * 1000:.0f}ms'"))
                try:
                    connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
                except OperationalError as error:
                    if getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE:
                        raise held from None
                    raise
                yield
    else:
        yield


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


def _hidden(text: str, uri: str) -> str:
    """What others say of an address, without its password: MLflow repeats the whole of it."""
    who = _WHO.match(uri)
    name, _, word = who[2].partition(":") if who else ("", "", "")
    text = text.replace(uri.rstrip("/"), without_password(uri).rstrip("/"))
    for secret in (f"{name}:{word}", word, unquote(word)) if len(word) >= SECRET else ():
        text = text.replace(secret, "…")
    return text


@contextmanager
def refusing(uri: str) -> Iterator[None]:
    """What goes wrong with a store, in one sentence: raises Unreachable where that passes, else FrostlineError."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, ImportError, ValueError) as error:
        said = _hidden(str(error), uri).strip()
        # SQLAlchemy may say first when it has asked, and then what was answered.
        reason = next((line for line in said.splitlines() if "autoflush" not in line), type(error).__name__)
        if _is_server(uri):  # what MLflow has no status for, such as a connection that was refused, counts as 500
            passes = isinstance(error, OSError) or getattr(error, "get_http_status_code", lambda: 0)() >= 500
        else:
            passes = PASSES.search(said) is not None
        kind = Unreachable if passes else FrostlineError
        mend = "start it anew if it does not recover" if passes else "check its address and rights"
        raise kind(_unusable(uri, reason, mend)) from None  # others' errors repeat the address as it is


def _unusable(uri: str, reason: str, mend: str) -> str:
    return (
        f"The tracking store {without_password(uri)} cannot be used ({reason}): {mend}, or unset MLFLOW_TRACKING_URI "
        "and tracking.uri for a local one."
    )


def _check_driver(uri: str) -> None:
    """Of PostgreSQL, where none is named, as it comes with the extra; of another one, MLflow tells."""
    if uri.startswith(("postgresql://", "postgresql+psycopg://")) and importlib.util.find_spec("psycopg") is None:
        raise FrostlineError(_unusable(uri, "its driver psycopg is missing", "install frostline[postgres]"))


def _check_port(uri: str) -> None:
    """Whether somebody listens where a database should be; not where its address leaves host or port to others."""
    bare = without_password(uri)
    try:
        split = urlsplit(bare)
        host, port = split.hostname, split.port or 5432
    except ValueError:  # several hosts
        return
    if host is None or "host=" in split.query or "," in split.netloc:
        return
    try:
        socket.create_connection((host, port), ANSWER_WITHIN).close()
    except OSError as error:
        raise Unreachable(
            f"The tracking store {bare} cannot be reached ({error.strerror or error}): start it, or unset "
            "MLFLOW_TRACKING_URI and tracking.uri for a local one."
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
        reason, passes = f"HTTP {error.code}", True
    except (urllib.error.URLError, OSError, ValueError, http.client.HTTPException) as error:
        why = getattr(error, "reason", error)
        # Not a host that is missing, nor a certificate that is not trusted, nor an answer that is no web server's.
        passes = isinstance(why, OSError) and not isinstance(why, ssl.SSLError)
        reason = str(why)
    kind, mend = (Unreachable, "start it") if passes else (FrostlineError, "mend its address")
    raise kind(
        f"The tracking server {bare} cannot be reached ({reason}): {mend}, or unset "
        "MLFLOW_TRACKING_URI and tracking.uri for a local store."
    )
