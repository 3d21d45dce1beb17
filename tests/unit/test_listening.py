"""The socket that the API listens on."""

from __future__ import annotations

import socket

from app.__main__ import _listen
from app.settings import Settings


def test_answers_are_sent_without_waiting() -> None:
    """An accepted connection sends at once: else a kept-alive one waits 40 ms for each answer's body."""
    with (
        _listen(Settings(port=0, _env_file=None)) as listening,
        socket.create_connection(listening.getsockname()[:2]),
        listening.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
