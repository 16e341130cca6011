"""A door bell: Label Studio rings it when an annotation has changed. What rings is not believed, only that it rang."""

from __future__ import annotations

import hmac
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from autoal.errors import RunError

__all__ = ["HEADER", "Bell"]

HOST = "127.0.0.1"
HEADER = "X-Autoal-Token"
PATH = "/autoal"
MOST_BYTES = 64 * 2**20
"""A longer message is not read."""
READ = 2**16


class Bell:
    """A small server on 127.0.0.1 that takes POST requests with its token, drops what they say, and sets `rung`."""

    def __init__(self, port: int = 0) -> None:
        """On `port`, any free one if 0. Raises RunError where another program has it."""
        self.rung = threading.Event()
        self.token = secrets.token_urlsafe(24)
        try:
            self._server = ThreadingHTTPServer((HOST, port), _handler(self.rung, self.token))
        except (OSError, OverflowError) as error:
            raise RunError(f"port {port} of {HOST} cannot be used ({error}); name another with --webhook") from error
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="webhook", daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._server.server_address[1]}{PATH}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(rung: threading.Event, token: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # of one that sends nothing
        server_version, sys_version = "autoal", ""

        def do_POST(self) -> None:
            given = self.headers.get(HEADER, "")
            if self.path != PATH or not hmac.compare_digest(given.encode(), token.encode()):
                return self._answer(403)
            length = self.headers.get("Content-Length", "0")
            if not length.isdecimal() or int(length) > MOST_BYTES:
                return self._answer(413)
            left = int(length)
            while left > 0 and (part := self.rfile.read(min(left, READ))):
                left -= len(part)
            rung.set()
            return self._answer(204)

        def _answer(self, status: int) -> None:
            self.close_connection = True
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the terminal is for people."""

    return Handler
