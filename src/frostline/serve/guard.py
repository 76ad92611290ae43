"""Who may ask: not a page of somebody else's that a browser on this machine has open.

Such a page can send requests to loopback. Its browser names it in `Origin`; and where its own name was made to point
here (DNS rebinding), `Host` is that name.
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from frostline.serve.refusals import Refused

NAMES = ("localhost", "127.0.0.1", "::1")
# Nothing that is answered may be shown within others' pages, nor be taken for what it is not.
ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """Refuses requests that come from elsewhere than they say; for a whole application.

    host: that the server listens on. On loopback a request must be meant for loopback. Elsewhere nobody here knows
    all names of this machine, so that any will do; but a request that a page makes must always come from our own.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self.app = app
        self.names = {*NAMES, host} if is_loopback(host) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if self.names is not None and _name(f"//{host}") not in self.names:
            answer = Refused(403, "This server answers on this machine only: open it as http://localhost.")
            await answer(scope, receive, send)
        elif origin is not None and origin.partition("://")[2] != host:
            answer = Refused(403, "Another site's page asks, which this server does not answer.")
            await answer(scope, receive, send)
        else:
            await self.app(scope, receive, _with_headers(send))


def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:  # such as of a bracket alone
        return None


def _with_headers(send: Send) -> Send:
    async def sending(message: dict) -> None:  # type: ignore[type-arg]
        if message["type"] == "http.response.start":
            there = {name for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(one for one in ALWAYS if one[0] not in there)]
        await send(message)

    return sending  # type: ignore[return-value]
