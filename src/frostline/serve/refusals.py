"""What is said to a request that gets no prediction: one sentence, as JSON, with the status that fits."""

import asyncio
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from frostline.errors import FrostlineError
from frostline.pictures.reading import HugePictureError, UnreadablePictureError

READ = "frostline.read"  # in a scope: whether the body was read to its end
LINGER = 2.0  # seconds for which what a refused client still sends is thrown away, so that it comes to read the answer


class Refusal(Exception):
    """status: of HTTP, 400 and above. sentence: what is wrong, and what to do."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class Refused(JSONResponse):
    """A refusal as it is sent. The connection is closed where the request's body was not read to its end."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__({"error": sentence}, status, headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it at once, then wait a little for the end of the body: a client that is cut off while it sends gets an
        error of its own in place of the answer."""
        close = [(b"connection", b"close")] if _unread(scope) else []
        headers = [*self.raw_headers, *close]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        if close:
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER):
                    while (await receive()).get("more_body"):
                        pass
        await send({"type": "http.response.body", "body": b""})


def _unread(scope: Scope) -> bool:
    names = {name: value for name, value in scope["headers"]}
    return not scope.get(READ) and (names.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in names)


def refused(request: Request, error: Exception) -> Refused:
    """As an exception handler of Starlette's."""
    assert isinstance(error, Refusal)
    return Refused(error.status, error.sentence)


def of_picture(error: FrostlineError, name: str, max_pixels: int) -> Refusal:
    """What to say of a picture, called so, that cannot be read. max_pixels: that the model takes."""
    cause = error.__cause__
    if isinstance(cause, HugePictureError):
        return Refusal(413, f"{name} has more than the {max_pixels:,} pixels that this model takes: send it smaller.")
    no_picture = isinstance(cause, UnreadablePictureError) and str(cause) == "is no picture"
    return Refusal(415 if no_picture else 422, str(error))
