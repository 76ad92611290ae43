"""A store on PostgreSQL, as teams have it: a real database, a real server before it, processes that really die."""

import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import quote

import pytest
from helpers.finished import finished_run
from helpers.postgres import PASSWORD, USER, needs_postgres, postgres
from helpers.store import begun, free_port, serving, stop, tell
from psycopg import connect

from frostline.errors import FrostlineError
from frostline.runs.sync import sync
from frostline.tracking import shipper, store
from frostline.tracking.base import Epoch, Run
from frostline.tracking.mlflow import MlflowTracker
from frostline.tracking.shipper import Shipper
from frostline.tracking.store import open_experiment, without_password

pytestmark = [needs_postgres, pytest.mark.slow]

AT_ONCE = 16
# As many processes as it is told, which all begin a run at the same moment, and none has MLflow to import before.
RACE = f"""
import os, sys, time
from pathlib import Path
from frostline.tracking.base import Data, Run
from frostline.tracking.mlflow import MlflowTracker, _load
_load()
import mlflow.store.tracking.sqlalchemy_store
start = time.time() + 0.5
def begin(number):
    time.sleep(max(0, start - time.time()))
    tracker = MlflowTracker(sys.argv[1], system_metrics=False)
    data = Data("meadow", "d" * 64, Path("."), {{"train": 20}})
    tracker.begin(Run("study", f"run-{{number}}", Path("."), data, str(number)), {{"a": "1"}}, {{"seed": str(number)}})
    tracker.end("finished")
children = []
for number in range({AT_ONCE}):
    children.append(os.fork())
    if not children[-1]:
        try:
            begin(number)
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
sys.exit(sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


@pytest.fixture(scope="module")
def database():
    with postgres() as found:
        yield found


@contextmanager
def store_of(kind, database, tmp_path):
    """The address of an empty one."""
    if kind == "sqlite":
        yield f"sqlite:///{tmp_path}/store/mlflow.db"
    elif kind == "postgresql":
        yield database.uri("race")
    else:
        with serving(tmp_path, database.uri("served")) as (_, address):
            yield address


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "server"])
def test_sixteen_processes_at_once_on_an_empty_store_are_sixteen_runs(kind, database, tmp_path):
    """Without the lock, 15 of 16 failed on PostgreSQL: each migrates."""
    from mlflow import MlflowClient

    with store_of(kind, database, tmp_path) as uri:
        done = subprocess.run([sys.executable, "-c", RACE, uri], capture_output=True, text=True, timeout=400)
        assert (done.returncode, done.stderr) == (0, "")
        client = MlflowClient(uri)
        runs = client.search_runs([client.get_experiment_by_name("study").experiment_id])
        assert sorted(run.info.run_name for run in runs) == sorted(f"run-{number}" for number in range(AT_ONCE))
        assert {run.info.status for run in runs} == {"FINISHED"}
        assert all(len(run.inputs.dataset_inputs) == 1 and run.data.params == {"a": "1"} for run in runs)


def test_one_that_another_process_creates_is_waited_for_so_long(database, monkeypatch):
    uri = database.uri("held")
    monkeypatch.setattr(store, "WAIT", 0.5)
    with connect(uri) as other:
        other.execute(f"SELECT pg_advisory_xact_lock({store.LOCK})")
        with pytest.raises(FrostlineError, match="has been held by another process for more than 0.5 seconds") as error:
            open_experiment(uri, "study")
    assert PASSWORD not in str(error.value)
    open_experiment(uri, "study")  # the lock went with the connection


def test_a_process_that_is_killed_while_it_creates_one_leaves_no_lock(database):
    uri = database.uri("killed")
    hold = "import sys, time\nfrom frostline.tracking.store import _alone\n"
    hold += "with _alone(sys.argv[1]):\n    print(flush=True)\n    time.sleep(99)"
    process = subprocess.Popen([sys.executable, "-c", hold, uri], stdout=subprocess.PIPE)
    process.stdout.readline()
    process.kill()
    process.wait()
    assert open_experiment(uri, "study")


def test_numbers_that_are_none_are_there_as_mlflow_has_them(database, tmp_path):
    from mlflow import MlflowClient

    uri = database.uri("numbers")
    tracker = begun(uri, tmp_path, "study", "run", id="a")
    tell(tracker, {"val_a": math.inf, "val_b": -math.inf, "val_c": math.nan}, 0)
    last = MlflowClient(uri).get_run(tracker._id).data.metrics
    assert last["val/a"] > 1e308 and last["val/b"] < -1e308 and math.isnan(last["val/c"])


def test_artifacts_of_a_database_without_a_server_lie_below_runs(database, here):
    from mlflow import MlflowClient

    uri = database.uri("artifacts")
    found = MlflowClient(uri).get_experiment(open_experiment(uri, "study"))
    assert found.artifact_location == (here / "runs" / "mlflow" / "artifacts").as_uri()


def held_by(address, study):
    """Of each run of an experiment, by name: its status, its histories and its files."""
    from mlflow import MlflowClient

    client, found = MlflowClient(address), {}
    for run in client.search_runs([client.get_experiment_by_name(study).experiment_id], max_results=1000):
        assert run.info.run_name not in found
        histories = {
            key: [
                (point.step, point.value, point.timestamp) for point in client.get_metric_history(run.info.run_id, key)
            ]
            for key in run.data.metrics
        }
        files = {file.path: file.file_size for file in client.list_artifacts(run.info.run_id)}
        found[run.info.run_name] = run.info.status, histories, files
    return found


def lines(journal):
    return [json.loads(line) for line in journal.read_text().splitlines()]


def told_of(epochs, key="images_seen"):
    return [(epoch["epoch"], epoch[key], round(epoch["time"] * 1000)) for epoch in epochs]


def test_a_server_that_is_killed_while_runs_are_sent_lacks_none_and_has_none_twice(database, tmp_path, monkeypatch):
    (tmp_path / "server").mkdir()
    runs, number, epochs = tmp_path / "runs" / "sent", 24, 30
    for one in range(number):
        finished_run(runs / "results" / f"run-{one:03}", one, epochs, files={"model.safetensors": 200_000})
    uri, port = database.uri("sent"), free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")

    def rows():
        return int(database.sql("SELECT count(*) FROM metrics", "sent"))

    def sent():
        return Counter(one.state for one in sync(runs))

    for share in (0.2, 0.6):  # each time in the middle of something
        with serving(tmp_path / "server", uri, port=port) as (process, _), ThreadPoolExecutor(1) as pool:
            sending = pool.submit(sent)
            while rows() < share * number * epochs * 20:
                assert not sending.done()
                time.sleep(0.01)
            stop(process)
            assert sending.result(300)["failed"]
    with serving(tmp_path / "server", uri, port=port) as (_, address):
        assert sent()["failed"] == 0
        assert sent() == {"there": number}
        found = held_by(address, "sent")
    assert len(found) == number
    for name, (status, histories, files) in found.items():
        folder = runs / "results" / name
        journal = lines(folder / "epochs.jsonl")
        assert status == "FINISHED" and len(histories) == 20 + 2
        assert histories["images_seen"] == told_of(journal)
        assert histories["val/metric_7"] == told_of(journal, "val_metric_7")
        assert [step for step, *_ in histories["test/loss"]] == [epochs]
        assert files == {path.name: path.stat().st_size for path in folder.iterdir()}
    assert rows() == number * (epochs * 20 + 2)


def test_a_server_that_is_away_during_a_run_has_all_of_it_in_the_end(database, tmp_path, monkeypatch, capsys):
    """Killed while epochs are told and started again, nothing missing and nothing twice; no epoch waits for it."""
    monkeypatch.setattr(shipper, "AGAIN_AT_MOST", 2.0)
    (tmp_path / "server").mkdir()
    uri, port, journal = database.uri("during"), free_port(), tmp_path / "epochs.jsonl"
    tracker = MlflowTracker(f"http://127.0.0.1:{port}")
    shipping = Shipper(tracker, Run("during", "run", tmp_path, id="a"), {"a": "1"}, {"seed": "0"}, journal)
    longest = 0.0

    def train(seconds):
        nonlocal longest
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            epoch = len(lines(journal)) if journal.exists() else 0
            told = {"epoch": epoch, "time": round(time.time(), 3), "images_seen": epoch + 1.0, "val_loss": epoch / 7}
            with journal.open("a") as file:
                file.write(json.dumps(told) + "\n")
            since = time.monotonic()
            shipping.tell()
            longest = max(longest, time.monotonic() - since)
            time.sleep(0.05)

    with serving(tmp_path / "server", uri, port=port) as (process, _):
        shipping.begin()
        train(5)
        os.killpg(process.pid, signal.SIGSTOP)  # it accepts connections, and says nothing
        train(3)
        stop(process)
        train(3)
    with serving(tmp_path / "server", uri, port=port) as (_, address):
        train(1)
        shipping.finish(Epoch(len(lines(journal)), {"test_loss": 0.5}, 9e8), [journal])
        ((status, histories, files),) = held_by(address, "during").values()
    assert status == "FINISHED" and files == {"epochs.jsonl": journal.stat().st_size}
    assert histories["images_seen"] == told_of(lines(journal)) and len(lines(journal)) > 100
    assert histories["test/loss"] == [(len(lines(journal)), 0.5, 9e11)]
    assert longest < 0.05
    assert capsys.readouterr().err.count("the tracker takes nothing") == 1


TRAIN = """
import sys
from frostline.cli import main
sys.exit(main(["train", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("kind", ["postgresql", "server"])
def test_a_planted_password_is_nowhere(kind, database, small, here):
    """Not on the terminal, in no file that a run leaves, in nothing that the store holds, in no log of the server."""
    uri, log = database.uri(f"planted_{kind}"), here / "server.log"
    (here / "server").mkdir()
    with log.open("w") as writing, serving(here / "server", uri, log=writing) as (process, address):
        told = uri if kind == "postgresql" else address.replace("//", f"//{USER}:{quote(PASSWORD, safe='')}@")
        environment = {**os.environ, "MLFLOW_TRACKING_URI": told}

        def said(*command, code=0):
            done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, timeout=300)
            assert done.returncode == code, done.stderr
            return done.stdout + done.stderr

        everything = said(sys.executable, "-c", TRAIN, "study=planted", *small)
        everything += said(sys.executable, "-m", "frostline", "sync", "planted")
        assert "0 runs sent; 1 were there" in everything
        running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        stop(process)
        if kind == "server":  # in the middle of a call, too
            everything += said(sys.executable, "-m", "frostline", "sync", "planted", code=2)
    environment["MLFLOW_TRACKING_URI"] = told.replace("planted_postgresql", "no_such_database")
    # A database that is not there ends the run, a server that is down does not.
    everything += said(sys.executable, "-c", TRAIN, "study=other", *small, code=2 if kind == "postgresql" else 0)
    files = [path.read_bytes() for path in here.rglob("*") if path.is_file()]
    texts = [everything, running, database.dump(f"planted_{kind}"), *(file.decode("latin-1") for file in files)]
    assert "planted" in texts[2] and len(files) > 20
    for secret in (PASSWORD, quote(PASSWORD, safe="")):
        assert not [text[max(0, text.find(secret) - 200) :][:400] for text in texts if secret in text]


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, "KILLED"), (signal.SIGINT, "KILLED"), (None, "FINISHED")]
)
def test_a_run_reads_as_what_became_of_it(number, status, database, small, here):
    """RUNNING while it is trained, KILLED when it is stopped, and FINISHED when it is done."""
    uri = database.uri(f"status_{status}_{number or 0:d}")
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    epochs = f"trainer.epochs={400 if number else 3}"
    command = [sys.executable, "-c", TRAIN, "study=status", *small, epochs]

    def now():
        return database.sql("SELECT status FROM runs", without_password(uri).rpartition("/")[2])

    process = subprocess.Popen(command, cwd=here, env=environment)
    if number:
        deadline = time.monotonic() + 200
        # Not anywhere below: folders vanish there while one looks.
        while not any(each.read_text().count("\n") > 2 for each in here.glob("runs/status/work/*/epochs.jsonl")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        assert now() == "RUNNING"
        process.send_signal(number)
    assert process.wait(200) == (128 + number if number else 0)
    assert now() == status


SHORT = (
    *("study=fate", "dataset.source.train=20", "dataset.source.val=10", "dataset.source.test=10"),
    *("dataset.source.size=32", "image_size=32", "backbone=lenet5", "schedule=thaw", "trainer.threads=1"),
    *("trainer.batch_size=8", "trainer.accelerator=cpu", "trainer.epochs=150"),
)


def test_a_run_is_one_run_whatever_becomes_of_it(database, here):
    """Stopped, killed by force, failed, and each time gone on with by the same command; PostgreSQL behind a server."""
    (here / "server").mkdir()

    def epochs():
        found = [*here.glob("runs/fate/work/*/epochs.jsonl")]
        return found[0].read_text().count("\n") if found else 0

    @contextmanager
    def trained(status, said):
        """Within, the run is under way, and some epochs further than before."""
        before, until = epochs(), time.monotonic() + 120
        command = [sys.executable, "-m", "frostline", "train", *SHORT]
        with subprocess.Popen(
            command, cwd=here, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                while epochs() < before + 5:
                    assert process.poll() is None and time.monotonic() < until
                    time.sleep(0.02)
                yield process
                _, error = process.communicate(timeout=200)
            finally:
                process.kill()
        assert process.returncode == status and said in error and "Traceback" not in error, error

    def now():
        found = database.sql(
            "SELECT status, tags.value FROM runs LEFT JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = "
            "'frostline.reason'",
            "fate",
        )
        return found.split("|")

    with serving(here / "server", database.uri("fate")) as (_, address):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": address}
        with trained(143, "told to stop (SIGTERM)") as process:
            assert now() == ["RUNNING", ""]
            process.terminate()
        assert now() == ["KILLED", "told to stop (SIGTERM)"]
        with trained(-signal.SIGKILL, "") as process:
            assert now() == ["RUNNING", ""]
            process.kill()
        assert now() == ["RUNNING", ""]  # nobody was left to tell it
        with trained(2, "(File too large): make room on its disk") as process:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        status, reason = now()
        assert status == "FAILED" and "could not be written (File too large)" in reason
        with trained(0, ""):
            assert now() == ["RUNNING", ""]
        assert now() == ["FINISHED", ""]
        ((status, histories, files),) = held_by(address, "fate").values()
    (folder,) = here.glob("runs/fate/results/*")
    told = {key: [step for step, *_ in history] for key, history in histories.items() if not key.startswith("system/")}
    assert told.pop("test/loss") == [150]
    assert all(steps == ([150] if key.startswith("test/") else list(range(150))) for key, steps in told.items())
    assert [value for _, value, _ in histories["val/loss"]] == [
        line["val_loss"] for line in lines(folder / "epochs.jsonl")
    ]
    assert files == {path.name: path.stat().st_size for path in folder.iterdir() if path.name != "identity"}
