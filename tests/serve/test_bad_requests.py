"""Whatever is sent, the answer is one sentence, and the next request is answered."""

import json
import socket
from base64 import b64encode

import numpy as np
import pytest
from helpers.served import OLD, ask, encoded, model_of, noise, served
from PIL import Image

from frostline.serve import refusals

GOOD = (OLD / "one.png").read_bytes()
MB = 1 << 20


@pytest.fixture(scope="module")
def port():
    with pytest.MonkeyPatch.context() as patch, served(model_of("detection"), max_mb=1) as port:
        patch.setattr(refusals, "LINGER", 0.3)
        yield port


@pytest.fixture(autouse=True)
def still_up(port):
    yield
    status, told = ask(port, GOOD)
    assert status == 200 and told["objects"]


def asked(*pictures, **more):
    return json.dumps({"pictures": list(pictures), **more}).encode()


def large(side):
    return encoded(Image.new("1", (side, side + 1)))


TEXT = b64encode(GOOD).decode()
JPEG = encoded(noise(0, 200, 200), "JPEG")
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize(
    ("status", "words", "body", "kind"),
    [
        (400, "The body is empty", b"", ""),
        (415, "The body is no picture", b"once upon a time", "image/jpeg"),
        (415, "The body is no picture", b"/etc/passwd", "text/plain"),
        (415, "The body is no picture", EPS, ""),
        (415, "The body is no picture", b"\0" * 1000, ""),
        (415, "is a form", b"--x\r\n\r\n", "multipart/form-data; boundary=x"),
        (422, "The body cannot be decoded", JPEG[: len(JPEG) // 2], "image/jpeg"),
        (422, "The body cannot be decoded", GOOD[:60], "image/png"),
        (413, "The body has more than the 89,478,485 pixels", large(10_000), "image/png"),
        (413, "The body has more than the 89,478,485 pixels", large(20_000), "image/png"),
        (413, "more than 1 MB", b"x" * (MB + 1), ""),
        (400, "is no JSON", b"{", ""),
        (400, "is no JSON", b'{"pictures": ["' + TEXT.encode()[:100], "application/json"),
        (400, "is no JSON", b"\xff\xfe", "application/json"),
        (400, "is no JSON", b'{"pictures": ' + b"[" * 200_000, ""),
        (422, "no list of pictures", b"[]", "application/json"),
        (422, "no list of pictures", b"null", "application/json"),
        (422, "no list of pictures", b'{"pictures": "x"}', ""),
        (422, "no list of pictures", b'{"path": "/etc/passwd"}', ""),
        (422, "no list of pictures", asked(TEXT, path="/etc/passwd"), ""),
        (422, "list of pictures is empty", asked(), ""),
        (422, "at index 0 is no text", asked(7), ""),
        (422, "at index 0 is no base64", asked("ä", "ö"), ""),
        (422, "at index 0 is no base64", asked("/etc/../passwd"), ""),
        (415, "at index 0 is no picture", asked("/etc/passwd+"), ""),
        (422, "at index 0 is empty", asked(""), ""),
        (413, "These are 65 pictures", asked(*[""] * 65), ""),
    ],
)
def test_a_bad_body(port, status, words, body, kind):
    found, told = ask(port, body, content_type=kind)
    assert (found, list(told)) == (status, ["error"]) and words in told["error"], told
    assert "\n" not in told["error"] and len(told["error"]) < 300


def test_of_several_pictures_the_good_are_answered(port):
    """Catches a request that is lost for one bad picture, and answers that move up into its place."""
    body = asked(TEXT, b64encode(b"no").decode(), f"data:image/png;base64,{TEXT}")
    status, told = ask(port, body)
    one, two, three = told["predictions"]
    assert status == 200 and one["objects"] and len(one["objects"]) == len(three["objects"])
    assert two == {"error": "The picture at index 1 is no picture: leave it out, or save it anew."}


def raw(port, *parts, end=True):
    """What comes back for bytes as they are. end: whether the client says that no more will come."""
    with socket.create_connection(("127.0.0.1", port), 15) as client:
        for part in parts:
            client.sendall(part)
        if end:
            client.shutdown(socket.SHUT_WR)
        found = b""
        while part := client.recv(65536):
            found += part
    head, _, body = found.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]


HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"


def test_what_is_announced_as_too_large_is_not_read(port):
    status, told = raw(port, HEAD + b"Content-Length: 99999999999\r\n\r\n", b"x" * 100, end=False)
    assert status == 413 and "more than 1 MB" in told
    status, told = raw(port, HEAD + b"Expect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n", end=False)
    assert status == 413


def test_what_does_not_say_how_large_it_is_is_read_up_to_the_bound(port):
    chunk = b"%x\r\n" % MB + b"x" * MB + b"\r\n"
    status, told = raw(port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 9, b"0\r\n\r\n", end=False)
    assert status == 413 and "more than 1 MB" in told


def test_requests_that_are_cut_off_leave_nothing_behind(port):
    """Catches bytes that still count as held once their client is gone: more than fit, one after the other."""
    for _ in range(12):
        status, told = raw(port, HEAD + b"Content-Length: 1000000\r\n\r\n", b"x" * 900_000)
        assert status == 400 and "cut off" in told
    for _ in range(12):
        with socket.create_connection(("127.0.0.1", port), 15) as client:
            client.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 900_000)


@pytest.mark.parametrize("sent", [b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\xfc\x03\x03\r\n\r\n"])
def test_what_is_no_http(port, sent):
    assert raw(port, sent, end=False) == (400, "That is no request of HTTP.")


def test_a_client_that_says_it_will_send_no_more_is_answered(port):
    with socket.create_connection(("127.0.0.1", port), 15) as client:
        client.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD)
        client.shutdown(socket.SHUT_WR)
        found = b""
        while part := client.recv(65536):
            found += part
    assert found.startswith(b"HTTP/1.1 200") and b'"objects"' in found


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/static/app.py", "/docs"]
)
def test_no_file_is_served(port, path):
    status, told = ask(port, path=path, method="GET")
    assert status == 404 and "nothing here" in told["error"]


def test_a_wrong_method_is_told(port):
    assert ask(port, method="GET")[0] == ask(port, b"x", "/health")[0] == 405


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:80", "Origin": "http://evil.example:80"}, 403),  # a name made to point here
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "["}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:1"}, 403),  # another program's page
        ({"Host": "localhost:8000", "Origin": "http://localhost:8000"}, 200),
        ({"Host": "127.0.0.1"}, 200),
        ({"Host": "[::1]:8000"}, 200),
    ],
)
def test_pages_of_others_are_not_answered(port, headers, status):
    assert ask(port, GOOD, **headers)[0] == status
    assert ask(port, path="/health", method="GET", **headers)[0] == status


def test_where_it_is_told_to_listen_elsewhere_any_name_will_do():
    with served(model_of("classification"), host="0.0.0.0") as port:
        assert ask(port, path="/health", method="GET", Host="mine.example")[0] == 200
        assert ask(port, path="/health", method="GET", Host="mine.example", Origin="http://evil.example")[0] == 403


def test_a_model_that_fails_is_told_and_the_next_is_answered():
    """Catches a thread that dies with its first error, so that all later requests wait for ever."""
    from frostline.predict.model import Model

    model = model_of("classification")

    def engine(squares: np.ndarray):
        if squares.max() == 0:
            raise RuntimeError("out of memory")
        return model.engine(squares)

    with served(Model(model.info, engine)) as port:
        for _ in range(2):
            status, told = ask(port, encoded(np.zeros((8, 8, 3), np.uint8)))
            assert status == 500 and "The model failed" in told["error"]
            assert ask(port, GOOD)[0] == 200
