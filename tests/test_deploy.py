"""The tracking server for a team: the page's own commands are run, and the compose file says the same."""

import os
import re
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
import yaml
from helpers.postgres import as_nobody, needs_postgres
from helpers.store import free_port, stop

DEPLOY = Path(__file__).parents[1] / "deploy"
PAGE = (DEPLOY / "README.md").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def block(name):
    """The commands of a part of the page."""
    return re.search(rf"<!-- {name} -->\n```bash\n(.*?)```", PAGE, re.DOTALL)[1]


def test_the_compose_file_is_the_page():
    services, server = COMPOSE["services"], COMPOSE["services"]["server"]
    options = re.search(r"mlflow server (.*) --host \S+ --port (\S+)", server["command"][-1])
    assert f"mlflow server {options[1]} --host 127.0.0.1" in block("server") and options[1] == "--workers 1"
    assert server["ports"] == [f"${{BIND:-127.0.0.1}}:${{PORT:-5000}}:{options[2]}"]
    assert "${PORT:-5000}" in block("server")
    told = server["environment"]
    address = told.pop("MLFLOW_BACKEND_STORE_URI")
    assert address.replace("@database:5432", "@127.0.0.1:$DATABASE_PORT") in block("server")
    assert all(f"{key}={value}" in block("server") for key, value in told.items()) and len(told) == 2
    database = services["database"]["environment"]
    assert f"-U {database['POSTGRES_USER']} {database['POSTGRES_DB']}\n" in block("database")
    assert set(COMPOSE["volumes"]) == {one.partition(":")[0] for name in services for one in services[name]["volumes"]}


def test_only_the_server_is_to_be_reached_and_by_this_machine_only():
    assert [name for name, one in COMPOSE["services"].items() if "ports" in one] == ["server"]
    assert "listen_addresses=127.0.0.1" in block("database") and "--host 127.0.0.1" in block("server")


def test_no_password_stands_in_any_of_it():
    """They come from files."""
    assert COMPOSE["secrets"] == {"password": {"file": "./password"}}
    environments = [one["environment"] for one in COMPOSE["services"].values()]
    named = [key for told in environments for key in told if "PASSWORD" in key]
    assert named == ["POSTGRES_PASSWORD_FILE"]
    assert not re.findall(r"://\w+:", PAGE + str(COMPOSE))


def test_the_compose_file_has_the_versions_that_are_tested():
    locked = (DEPLOY.parent / "requirements.lock").read_text().splitlines()
    made = COMPOSE["services"]["server"]["build"]["dockerfile_inline"]
    for package, version in re.findall(r'"([\w-]+)(?:\[\w+\])?==([\w.]+)"', made):
        assert f"{package}=={version}" in locked


@pytest.mark.slow
@needs_postgres
def test_the_page_works_as_it_stands(tmp_path):
    """A real database, a real server, a real run: the commands of the page, and nothing else."""
    ports, elsewhere = (free_port(), free_port()), tmp_path
    with TemporaryDirectory() as name:
        where = Path(name)
        user = as_nobody(where)
        told = {**os.environ, "WHERE": name, "PORT": str(ports[0]), "DATABASE_PORT": str(ports[1])}
        told["PATH"] = f"{Path(sys.executable).parent}:{told['PATH']}"

        def run(script, cwd=where, who=()):
            command = [*who, "bash", "-euc", script]
            return subprocess.run(command, cwd=cwd, env=told, check=True, timeout=300, capture_output=True, text=True)

        run(block("database"), who=user)
        try:
            password = (where / "password").read_text().strip()
            assert len(password) > 20 and (where / "password").stat().st_mode & 0o77 == 0
            with running(block("server"), where, told):
                assert "0 runs sent; 1 were there" in run(block("runs"), elsewhere).stdout
                assert list((where / "artifacts").rglob("model.safetensors"))
                assert password not in run("ps -eo args").stdout
                for address, port in listening():
                    assert address == "127.0.0.1" or port not in ports
            logs = [path for path in where.glob("*.log")]
            assert len(logs) == 3 and not [path for path in logs if password in path.read_text()]
        finally:
            run('PATH="$(echo /usr/lib/postgresql/*/bin | tr " " :):$PATH" pg_ctl -D data -m immediate stop', who=user)


@contextmanager
def running(script, where, told):
    """A server by these commands, once it answers."""
    with (where / "server.log").open("w") as log:
        process = subprocess.Popen(
            ["bash", "-euc", script], cwd=where, env=told, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 180
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{told['PORT']}/health", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.2)
        yield
    finally:
        stop(process)


def listening():
    """Address and port of all that listens on this machine."""
    return [one.laddr[:2] for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
