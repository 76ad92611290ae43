"""The process that listens, until it is told to stop."""

import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from frostline.errors import FrostlineError
from frostline.serve.refusals import Refused

GRACE = 10  # seconds that requests may take to end, once the server is told to stop


class Protocol(H11Protocol):
    """uvicorn's, for clients that close their side of the connection once they have sent: they are answered, too."""

    def eof_received(self) -> bool | None:  # type: ignore[override]
        if self.cycle is None or self.cycle.response_complete:
            return None
        self.cycle.keep_alive = False
        if self.cycle.more_body and not self.cycle.response_started:  # cut off
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self.send_400_response("The request was cut off: send it again.")
        return True

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is told so as everything else is."""
        answer = Refused(400, "That is no request of HTTP." if msg.startswith("Invalid HTTP") else msg)
        head = [f"{name.decode()}: {value.decode()}" for name, value in answer.raw_headers]
        lines = ["HTTP/1.1 400 Bad Request", *head, "connection: close", "", ""]
        self.transport.write("\r\n".join(lines).encode() + answer.body)
        self.transport.close()


def listening(host: str, port: int) -> socket.socket:
    """A socket at this address. port: 0 for any that is free. Raises FrostlineError where it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # Of a socket that does not name its protocol asyncio leaves Nagle's algorithm on, and then every answer waits
        # 40 ms for the client to acknowledge its head.
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except (OSError, OverflowError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise FrostlineError(
            f"Port {port} of {host} cannot be had ({words}): give another --port or --host."
        ) from error
    return found


def address_of(found: socket.socket) -> str:
    """As a browser takes it."""
    host, port = found.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class Server(uvicorn.Server):
    """Of an application: `run([socket])` serves until SIGINT or SIGTERM. ready: called once requests are answered."""

    def __init__(self, app: ASGIApp, ready: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=GRACE,
        )
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()
