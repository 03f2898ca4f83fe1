"""HTTP answers that Homeport reads itself."""

import pytest

from homeport.system import http

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


def test_an_answer() -> None:
    head, body = http.whole(ANSWER)
    assert (head.status, head.headers, body) == (200, {"content-type": "text/plain", "content-length": "5"}, b"hello")


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        ANSWER[:-1],
        ANSWER[:30],
        ANSWER + b"more",
        ANSWER.replace(b"Content-Length: 5\r\n", b""),
        ANSWER.replace(b"5\r\n", b"-5\r\n"),
        ANSWER.replace(b"200", b"20"),
        ANSWER.replace(b"HTTP/1.1", b"SSH-2.0"),
    ],
)
def test_half_an_answer_is_none(broken: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        http.whole(broken)
