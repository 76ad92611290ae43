"""What is asked for at which address, and what is answered."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import Any, TypeVar

import numpy as np
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from frostline.errors import FrostlineError
from frostline.parallel import cores, threads
from frostline.predict.kinds import SURE, Prediction
from frostline.predict.model import BATCH, Model, Seen
from frostline.serve.answer import Wanted, answer
from frostline.serve.batches import STREAMS, Batches
from frostline.serve.bodies import MAX_MB, Bodies, check_body, is_json, pictures_of
from frostline.serve.guard import Guard
from frostline.serve.page import page
from frostline.serve.refusals import Refusal, Refused, of_picture, refused

AHEAD = 64  # pictures that are decoded, at most; others wait as the bytes that they came in
SHARE = 4  # pictures at once where several batches share the cores: no slower than more, and they fit the cores' caches

_R = TypeVar("_R")


class Service:
    """A model with its threads: for pictures as many as there are cores, and for the network one a stream.

    On the CPU there are as many streams as times that the threads of a computation (OMP_NUM_THREADS) go into the cores:
    threads of one computation wait for each other at every layer, so that each halts when any is kept from its core.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._pool = ThreadPoolExecutor(os.cpu_count(), "pictures")
        self._streams = max(1, min(STREAMS, cores() // threads())) if device_of(model) == "cpu" else 1
        self._most = BATCH if self._streams == 1 else SHARE
        self._batches: Batches[Seen, Prediction] = Batches(model.said, self._most, self._streams)
        self._room = asyncio.Semaphore(AHEAD)

    def close(self) -> None:
        self._batches.close()
        self._pool.shutdown(cancel_futures=True)

    async def warm(self) -> None:
        """Have the network see a batch of each size: what it makes once is made, and memory does not grow later.

        A model that fails at it says so to whoever asks.
        """
        side = self.model.info.preprocessing.size
        blank = self.model.seen(np.zeros((side, side, 3), np.uint8), "A blank picture")
        count = 1
        while count <= self._most:
            with suppress(Exception):
                await self._in_thread(self.model.said, [blank] * count)
            count *= 2

    async def predict(self, body: bytes, kind: str, wanted: Wanted) -> dict[str, Any]:
        """What is answered to a body of this content type. Raises Refusal.

        Of several pictures each that cannot be read has its error in place of a prediction, unless none can.
        """
        check_body(body, kind)
        about = {"model": self.model.name, "task": self.model.info.task}
        if not is_json(body, kind):
            return {**about, **await self._one(body, "The body", wanted)}
        pictures = await self._in_thread(pictures_of, body)
        names = [f"The picture at index {number}" for number in range(len(pictures))]
        found = await asyncio.gather(
            *(self._or_refusal(one, name, wanted) for one, name in zip(pictures, names, strict=True))
        )
        bad = [one for one in found if isinstance(one, Refusal)]
        if len(bad) == len(found):
            raise bad[0]
        told = [{"error": one.sentence} if isinstance(one, Refusal) else one for one in found]
        return {**about, "predictions": told}

    async def _or_refusal(self, picture: bytes | Refusal, name: str, wanted: Wanted) -> dict[str, Any] | Refusal:
        if isinstance(picture, Refusal):
            return picture
        try:
            return await self._one(picture, name, wanted)
        except Refusal as refusal:
            return refusal

    async def _one(self, picture: bytes, name: str, wanted: Wanted) -> dict[str, Any]:
        async with self._room:
            try:
                seen = await self._in_thread(self.model.seen, picture, name)
            except FrostlineError as error:
                raise of_picture(error, name, self.model.info.preprocessing.max_pixels) from error
            said = await asyncio.wrap_future(self._batches.put(seen))
            return await self._in_thread(answer, said, seen[1].size, wanted)

    async def _in_thread(self, work: Callable[..., _R], *arguments: Any) -> _R:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)


def app_of(model: Model, host: str, threshold: float | None = None, max_mb: int = MAX_MB) -> ASGIApp:
    """The application. host: that it is served on. threshold: the least score of a box where a request says none.
    max_mb: see Bodies."""
    bodies, about = Bodies(max_mb), health(model)
    shown = page(about, SURE if threshold is None else threshold, max_mb)
    least = threshold or 0.0
    services: list[Service] = []

    @asynccontextmanager
    async def living(_: FastAPI) -> AsyncIterator[None]:
        services.append(Service(model))
        await services[0].warm()
        try:
            yield
        finally:
            services.pop().close()

    # Its own pages of documentation would load scripts from elsewhere.
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=living)

    @app.get("/")
    async def _page() -> Response:
        return HTMLResponse(shown.html, headers={"content-security-policy": shown.policy})

    @app.get("/health")
    async def _health() -> Response:
        return JSONResponse(about)

    @app.post("/predict")
    async def _predict(request: Request) -> Response:
        wanted = Wanted.of(request.query_params, model.info.task, least)
        async with bodies.read(request) as body:
            return JSONResponse(await services[0].predict(body, request.headers.get("content-type", ""), wanted))

    app.add_exception_handler(Refusal, refused)
    app.add_exception_handler(HTTPException, _nothing_there)
    app.add_exception_handler(Exception, _failed)
    return Guard(app, host)


async def _nothing_there(request: Request, error: Exception) -> Refused:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return Refused(405, "That is asked for otherwise: GET / and /health, POST /predict.", dict(error.headers or {}))
    return Refused(error.status_code, "There is nothing here: GET / and /health, POST /predict.")


async def _failed(request: Request, error: Exception) -> Refused:
    return Refused(500, "The model failed at this; what it said stands in the server's own output.")


def health(model: Model) -> dict[str, Any]:
    """What there is to know of a server of this model."""
    return {
        "status": "ok",
        "model": model.name,
        "task": model.info.task,
        "classes": list(model.classes),
        "device": device_of(model),
        "version": version("frostline"),
    }


def device_of(model: Model) -> str:
    return getattr(model.engine, "device", "cpu")
