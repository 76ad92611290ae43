"""`frostline serve` as a process."""

import re
import select
import signal
import socket
import subprocess
import sys

import pytest
from helpers.served import OLD, ask

from frostline.cli import main

GOOD = (OLD / "one.png").read_bytes()


@pytest.fixture
def server():
    command = [sys.executable, "-m", "frostline", "serve", str(OLD / "localization"), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert select.select([process.stdout], [], [], 120)[0], "it does not begin"
        line = process.stdout.readline()
        yield process, int(re.search(r" at http://127\.0\.0\.1:(\d+) ", line)[1])
    finally:
        process.kill()
        process.communicate()


def test_it_tells_where_it_is_and_ends_by_ctrl_c(server):
    """Catches an end that leaves a request without its answer, waits for idle connections, or prints a traceback."""
    process, port = server
    assert ask(port, GOOD)[0] == 200
    with socket.create_connection(("127.0.0.1", port)) as idle, socket.create_connection(("127.0.0.1", port)) as begun:
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in idle.recv(65536)
        head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(GOOD)
        begun.sendall(head + GOOD[:9])
        ask(port, path="/health", method="GET")  # by now it has read the head
        process.send_signal(signal.SIGINT)
        begun.sendall(GOOD[9:])
        begun.settimeout(20)
        assert begun.recv(65536).startswith(b"HTTP/1.1 200")
        out, error = process.communicate(timeout=20)
    assert (process.returncode, out, error) == (0, "stopped\n", "")


def test_mistakes_are_told_in_a_sentence(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        cases = [
            (["--port", port], "Address already in use"),
            (["--port", "70000"], "--port is 70000"),
            (["--host", "no.such.host.invalid"], "of no.such.host.invalid cannot be had"),
            (["--threshold", "1.5"], "--threshold is 1.5"),
            (["--port", "0", "--threshold", "0.5"], "--threshold is of detection"),
            (["--max-mb", "0"], "--max-mb is 0"),
        ]
        for options, words in cases:
            assert main(["serve", str(OLD / "localization"), *options]) == 2
            error = capsys.readouterr().err
            assert words in error and error.count("\n") == 1
    assert main(["serve", "nothing/here", "--port", "0"]) == 2
    assert "no finished run and no model" in capsys.readouterr().err
