import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest
from filelock import FileLock
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE, UNAUTHENTICATED
from sqlalchemy.exc import OperationalError

from frostline.errors import FrostlineError
from frostline.tracking.base import Unreachable
from frostline.tracking.store import (
    check_reached,
    holds_password,
    open_experiment,
    refusing,
    tracking_uri,
    without_password,
)


def test_address_configured_then_environment_then_local(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert tracking_uri("sqlite:///x.db") == "sqlite:///x.db"
    assert tracking_uri(None) == "http://127.0.0.1:1"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking_uri(None).startswith("sqlite:///") and tracking_uri(None).endswith("runs/mlflow/mlflow.db")


def test_many_processes_open_one_fresh_store(tmp_path):
    # The trap: 6 of 6 failed on a migration race without the lock.
    uri = f"sqlite:///{tmp_path}/store/mlflow.db"
    code = f"from frostline.tracking.store import open_experiment; print(open_experiment({uri!r}, 'study'))"
    processes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = [process.communicate(timeout=240)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * 3
    assert len(set(answers)) == 1 and answers[0]


def test_runs_that_start_at_once_do_not_find_each_others_folder_unwritable(tmp_path):
    # A file of one name, touched and removed: whoever came second at removing it called the folder unwritable.
    def check(_):
        check_reached(f"sqlite:///{tmp_path}/store/mlflow.db")

    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(check, range(2000)))) == 2000
    assert not list((tmp_path / "store").iterdir())


def test_experiments_are_models_experiments(tmp_path):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    identifier = open_experiment(uri, "study")
    assert open_experiment(uri, "study") == identifier
    experiment = MlflowClient(uri).get_experiment(identifier)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert experiment.artifact_location.startswith("file://")


def test_a_server_that_is_not_there_is_told_at_once():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = time.perf_counter()
    with pytest.raises(Unreachable, match=f"127.0.0.1:{port} cannot be reached.*start it, or unset"):
        open_experiment(f"http://127.0.0.1:{port}", "study")
    assert time.perf_counter() - start < 15


def test_what_is_no_web_server_is_told_without_the_password():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            connection.recv(1000)
            connection.sendall(b"SSH-2.0-OpenSSH\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        port = server.getsockname()[1]
        with pytest.raises(FrostlineError, match=f"http://127.0.0.1:{port} cannot be reached") as error:
            open_experiment(f"http://me:secret@127.0.0.1:{port}", "study")
        thread.join()
    assert "secret" not in str(error.value) and error.type is FrostlineError  # no waiting makes one of it


@contextmanager
def answering(answer):
    """The port of what says this to whoever asks; nothing at all for None."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.recv(10_000)
                    if answer is not None:
                        connection.sendall(answer)
                        connection.close()
                    held.append(connection)

        held = []
        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 Away\r\n\r\n", b"HTTP/1.1 500 Broken\r\n\r\n", b"", None])
def test_a_server_that_is_there_and_serves_nobody_may_come_back(answer, monkeypatch):
    monkeypatch.setattr("frostline.tracking.store.ANSWER_WITHIN", 0.3)
    with answering(answer) as port, pytest.raises(Unreachable, match="cannot be reached"):
        check_reached(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("uri", ["http://", "http://h:port", "http://[h", "http://a b", "https://127.0.0.1:{port}"])
def test_an_address_that_is_none_is_to_be_mended(uri):
    with answering(b"HTTP/1.1 200 OK\r\n\r\n") as port, pytest.raises(FrostlineError, match="mend its addr") as error:
        check_reached(uri.format(port=port))
    assert error.type is FrostlineError


@pytest.mark.parametrize(
    ("uri", "error", "passes"),
    [
        ("http://h", MlflowException("API request to http://h failed: Connection refused"), True),
        ("http://h", MlflowException("its database is away", error_code=TEMPORARILY_UNAVAILABLE), True),
        ("http://h", MlflowException("who are you?", error_code=UNAUTHENTICATED), False),
        ("http://h", MlflowException("no such thing", error_code=INVALID_PARAMETER_VALUE), False),
        ("postgresql://h/x", OperationalError("", {}, Exception("FATAL: the database system is starting up")), True),
        ("postgresql://h/x", OperationalError("", {}, Exception("FATAL: sorry, too many clients already")), True),
        ("postgresql://h/x", MlflowException("server closed the connection unexpectedly"), True),
        ("postgresql://h/x", OperationalError("", {}, Exception("FATAL: password authentication failed")), False),
        ("postgresql://h/x", OperationalError("", {}, Exception('FATAL: database "x" does not exist')), False),
        ("sqlite:///x", OperationalError("", {}, Exception("database is locked")), True),
        ("sqlite:///x", OperationalError("", {}, Exception("attempt to write a readonly database")), False),
        ("what://x", MlflowException("an unsupported URI"), False),
    ],
)
def test_what_passes_by_itself_is_told_from_what_is_to_be_mended(uri, error, passes):
    with pytest.raises(FrostlineError, match="cannot be used") as told, refusing(uri):
        raise error
    assert isinstance(told.value, Unreachable) == passes


def test_postgresql_without_its_driver_is_told_at_once(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FrostlineError, match=r"install frostline\[postgres\]") as error:
        check_reached("postgresql://me:secret@127.0.0.1:9/x")
    assert error.type is FrostlineError and "secret" not in str(error.value)


def test_a_database_without_its_driver_is_told():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(FrostlineError, match=f"postgresql.*://127.0.0.1:{port}/x cannot be used") as error:
            open_experiment(f"postgresql+nodriver://me:secret@127.0.0.1:{port}/x", "study")
    assert "secret" not in str(error.value) and "\n" not in str(error.value)


def test_a_database_where_nobody_listens_is_told_before_mlflow_is_loaded():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(Unreachable, match=f"postgresql://127.0.0.1:{port}/x cannot be reached.*start it") as error:
        check_reached(f"postgresql://me:secret@127.0.0.1:{port}/x")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("uri", ["postgresql:///x?host=/run/pg", "postgresql://a,b/x", "postgresql://a:1,b:2/x"])
def test_a_database_whose_address_is_not_one_host_is_left_to_its_driver(uri):
    check_reached(uri)


def test_what_others_say_of_an_address_is_told_without_its_password():
    uri = "http://me:se%2Fcret@127.0.0.1:1/"
    with pytest.raises(FrostlineError) as error, refusing(uri):
        raise OSError(f"API request to {uri}api/2.0 failed: se%2Fcret, se/cret, me:se%2Fcret")
    assert "cret" not in str(error.value) and "http://127.0.0.1:1/api/2.0 failed" in str(error.value)
    assert error.value.__cause__ is None  # a traceback would tell it


def test_a_store_that_cannot_be_made_is_told(tmp_path):
    # A file where the folder should be: refused for root as well.
    (tmp_path / "blocked").write_text("")
    with pytest.raises(FrostlineError, match="cannot be written.*make its folder writable"):
        open_experiment(f"sqlite:///{tmp_path}/blocked/mlflow.db", "study")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_told(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(FrostlineError, match="cannot be written"):
        open_experiment(f"sqlite:///{tmp_path}/mlflow.db", "study")


def test_a_store_that_another_process_holds_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("frostline.tracking.store.WAIT", 0.1)
    with FileLock(tmp_path / ".lock"), pytest.raises(FrostlineError, match="has been held by another process"):
        open_experiment(f"sqlite:///{tmp_path}/mlflow.db", "study")


def test_a_damaged_store_is_told(tmp_path):
    (tmp_path / "mlflow.db").write_text("this is no database, whatever its name says" * 50)
    with pytest.raises(FrostlineError, match="cannot be used"):
        open_experiment(f"sqlite:///{tmp_path}/mlflow.db", "study")


@pytest.mark.parametrize(
    ("uri", "shown", "secret"),
    [
        ("http://me:secret@host:5000/x", "http://host:5000/x", True),
        ("http://me:se/cr@et@host/x", "http://host/x", True),
        ("http://me:se?cr#et@host/x", "http://host/x", True),
        ("postgresql://h/db?user=a&password=secret&b=c", "postgresql://h/db?user=a&password=…&b=c", True),
        ("http://host/x?token=secret", "http://host/x?token=…", True),
        ("postgresql://me:[secret@h/db", "postgresql://h/db", True),
        ("postgresql://me@h/db", "postgresql://h/db", False),
        ("sqlite:////tmp/a@b/mlflow.db", "sqlite:////tmp/a@b/mlflow.db", False),
        ("sqlite+pysqlite:///a:b@c.db", "sqlite+pysqlite:///a:b@c.db", False),
        ("file:///home/me@work/mlruns", "file:///home/me@work/mlruns", False),
        ("http://host:5000/a@b", "http://host:5000/a@b", False),
        ("http://host/a@b", "http://host/a@b", False),
        ("http://host:5000", "http://host:5000", False),
    ],
)
def test_an_address_is_shown_without_its_password(uri, shown, secret):
    assert (without_password(uri), holds_password(uri)) == (shown, secret)
