"""A PostgreSQL of Debian's package, for tests: a real one, on loopback, in a folder of its own."""

import os
import pwd
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import pytest

from .store import free_port

USER, PASSWORD = "frost", "a-planted/secret?of#the@store"
PROGRAMS = ("initdb", "pg_ctl", "pg_dump", "postgres", "psql")


def binaries():
    """The folder of its programs, the newest; None where it is not installed, or nobody is there to run it as."""
    found = [Path(there).resolve().parent] if (there := shutil.which("initdb")) else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    there = next((folder for folder in found if all((folder / name).is_file() for name in PROGRAMS)), None)
    return there if os.geteuid() or (shutil.which("setpriv") and _nobody()) else None


def _nobody():
    """Whom root runs it as, since it refuses root."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            pass
    return None


needs_postgres = pytest.mark.skipif(binaries() is None, reason="no PostgreSQL (Debian: apt-get install postgresql)")


class Postgres:
    """A running one. uri: of a database, with its password; a new one for each name."""

    def __init__(self, folder, port):
        self.folder, self.port = folder, port

    def uri(self, database="mlflow"):
        there = self.sql(f"SELECT 1 FROM pg_database WHERE datname = '{database}'")
        if not there:
            self.sql(f'CREATE DATABASE "{database}"')
        return f"postgresql://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{database}"

    def sql(self, command, database="postgres"):
        """What psql prints of it, without its formatting."""
        told = {**os.environ, "PGPASSWORD": PASSWORD, "PGCONNECT_TIMEOUT": "10"}
        options = ["-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", database, "-v", "ON_ERROR_STOP=1"]
        done = subprocess.run(
            [binaries() / "psql", *options, "-XAtqc", command], env=told, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def dump(self, database):
        """All that a database holds, as text."""
        told = {**os.environ, "PGPASSWORD": PASSWORD}
        command = [binaries() / "pg_dump", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, database]
        return subprocess.run(command, env=told, capture_output=True, text=True, check=True).stdout


def as_nobody(folder):
    """What stands before a command so that it runs as whom this folder is given to, as PostgreSQL refuses root.

    folder: that others may reach, and so none of pytest's.
    """
    if os.geteuid():
        return []
    nobody = _nobody()
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", "--"]


@contextmanager
def postgres():
    with TemporaryDirectory(prefix="frostline-pg-") as name:
        folder, user = Path(name), as_nobody(Path(name))
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)  # in a folder that only its owner enters

        def run(*command):
            subprocess.run([*user, *command], check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=120)

        made = ["-U", USER, f"--pwfile={folder / 'password'}", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8"]
        run(binaries() / "initdb", "-D", folder / "data", *made, "--no-sync")
        port = free_port()
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        control = [binaries() / "pg_ctl", "-D", folder / "data"]
        run(*control, "-w", "-l", folder / "log", "-o", options, "start")
        try:
            yield Postgres(folder, port)
        finally:
            run(*control, "-w", "-m", "immediate", "stop")
