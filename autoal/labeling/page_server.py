"""The page's server: on this machine alone, in the foreground for the command line, in a thread for a notebook."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import sys
import threading
import webbrowser
from typing import TYPE_CHECKING

from autoal.errors import RunError

if TYPE_CHECKING:
    import uvicorn

__all__ = ["HOST", "PORT", "Server", "open_browser"]

HOST = "127.0.0.1"
PORT = 8642
NEXT_PORTS = 20
"""Ports after the usual one that are tried where it is taken."""


class Server:
    """Bound when it is made, so that its address is known at once.

    Raises RunError where the extra `label` is missing, or the port is taken.
    """

    def __init__(self, port: int | None = None, *, embedded: bool = False) -> None:
        try:
            import uvicorn

            from autoal.labeling.app import Place, make_app
        except ImportError as error:
            raise RunError(f"the page wants the extra 'label' ({error}): pip install 'autoal[label]'") from error
        self._socket = _bound(port)
        self.port: int = self._socket.getsockname()[1]
        token = secrets.token_urlsafe(32)
        self.url = f"http://{HOST}:{self.port}/#token={token}"
        """With the token behind the #, which no browser sends or logs."""
        self.place = Place()
        config = uvicorn.Config(
            make_app(self.place, token, embedded), log_level="warning", access_log=False, server_header=False,
            lifespan="off", ws="none", timeout_keep_alive=75, timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server: uvicorn.Server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    def run(self) -> None:
        """Serves until it is interrupted or stopped."""
        with contextlib.suppress(KeyboardInterrupt):
            self._server.run(sockets=[self._socket])

    def start(self) -> None:
        """Serves in a thread."""
        self._thread = threading.Thread(target=self.run, daemon=True, name="autoal label")
        self._thread.start()

    def stop_serving(self) -> None:
        """Lets `run` return, from another thread."""
        self._server.should_exit = True

    def stop(self) -> None:
        """Ends what `start` began."""
        self.stop_serving()
        if self._thread is not None:
            self._thread.join(5)
        self._socket.close()


def _bound(port: int | None) -> socket.socket:
    """A socket on this machine alone; of the usual ports the first that is free, where none is named."""
    tried = range(PORT, PORT + NEXT_PORTS) if port is None else [port]
    for number in [*tried, 0] if port is None else tried:
        # Named as TCP, so that asyncio sends small answers at once: without, each would wait 40 ms for the one before.
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        if os.name != "nt":  # a server that was killed leaves its port waiting, and is not in the way
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((HOST, number))
            made.listen(128)
            return made
        except OSError as error:
            made.close()
            if port is not None:
                raise RunError(f"port {port} cannot be had ({error.strerror}); choose another with --port") from error
    raise RunError("no port can be had on 127.0.0.1; choose one with --port")


def open_browser(url: str) -> None:
    """In a thread, where there is a screen to open one on: a browser of the terminal would take the terminal."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
