"""The pictures of a request: a body that is one, or JSON that holds several. What is too much is not read."""

import asyncio
import binascii
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from frostline.serve.refusals import READ, Refusal

MB = 1 << 20
MAX_MB = 32  # of one body
MOST_PICTURES = 64  # of one request
AT_ONCE = 8  # bodies of the largest size that are held at once, in bytes; the next are asked to come again
PATIENCE = 30.0  # seconds that a body may stand still

HOW = 'send the bytes of one picture, or {"pictures": [BASE64, ...]} as application/json'


@dataclass
class Bodies:
    """max_mb: of one body. held: bytes of all that are being read or answered."""

    max_mb: int = MAX_MB
    held: int = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """The body, within what is allowed; raises Refusal."""
        parts: list[bytes] = []
        size = 0
        try:
            self._check(_announced(request))
            async for part in _arriving(request):
                size += len(part)
                self.held += len(part)
                self._check(size)
                parts.append(part)
            request.scope[READ] = True
            body = b"".join(parts)
            parts.clear()
            yield body
        finally:
            self.held -= size

    def _check(self, size: int) -> None:
        if size > self.max_mb * MB:
            raise Refusal(
                413, f"The body has more than {self.max_mb} MB: send less at once, or start the server with --max-mb."
            )
        if self.held > AT_ONCE * self.max_mb * MB:
            raise Refusal(503, "The server holds as many pictures as it can: ask again in a moment.")


def _announced(request: Request) -> int:
    """How many bytes the client says that it will send."""
    told = request.headers.get("content-length", "0")
    return int(told) if told.isdecimal() else 0


async def _arriving(request: Request) -> AsyncIterator[bytes]:
    arriving = request.stream()
    while True:
        try:
            async with asyncio.timeout(PATIENCE):
                part = await anext(arriving)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Refusal(408, f"The body stood still for {PATIENCE:.0f} s: send it again.") from None
        except ClientDisconnect:
            raise Refusal(400, "The body was cut off: send it again.") from None
        yield part


def is_json(body: bytes, kind: str) -> bool:
    """Whether a body of this content type is JSON; no picture begins as an object of JSON does."""
    return kind.partition(";")[0].strip().lower() == "application/json" or body[:64].lstrip()[:1] == b"{"


def check_body(body: bytes, kind: str) -> None:
    """Raise Refusal for a body without anything, and for a form."""
    if not body:
        raise Refusal(400, f"The body is empty: {HOW}.")
    if kind.startswith("multipart/"):
        raise Refusal(415, f"The body is a form: {HOW} (curl: --data-binary @FILE in place of -F).")


def pictures_of(body: bytes) -> list[bytes | Refusal]:
    """What JSON holds, a refusal in the place of what is no base64. Raises Refusal where it is no such JSON."""
    try:
        held = json.loads(body)
    except (ValueError, RecursionError) as error:  # also what is no UTF-8
        raise Refusal(400, f"The body is no JSON ({_short(error)}): {HOW}.") from None
    told = held.get("pictures") if isinstance(held, dict) else None
    if not isinstance(told, list) or set(held) != {"pictures"}:
        raise Refusal(422, f"The JSON is no list of pictures: {HOW}.")
    if not told:
        raise Refusal(422, f"The list of pictures is empty: {HOW}.")
    if len(told) > MOST_PICTURES:
        raise Refusal(413, f"These are {len(told)} pictures, and {MOST_PICTURES} can be sent at once: send fewer.")
    return [_decoded(one, number) for number, one in enumerate(told)]


def _decoded(text: object, number: int) -> bytes | Refusal:
    if not isinstance(text, str):
        return Refusal(422, f"The picture at index {number} is no text: {HOW}.")
    # As browsers give it, `data:image/png;base64,...`.
    _, found, tail = text.partition(";base64,") if text.startswith("data:") else ("", "", text)
    try:
        return b64decode("".join(tail.split()), validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: letters beyond ASCII
        return Refusal(422, f"The picture at index {number} is no base64 ({_short(error)}): {HOW}.")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:100]
