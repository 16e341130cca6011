"""The page beside a Python program: in the cell of a notebook, or by its address."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from autoal.errors import AutoALWarning, InvalidInput
from autoal.labeling.options import Notes
from autoal.labeling.page_server import Server

if TYPE_CHECKING:  # torch takes seconds to import, and `autoal --help` comes by here
    from autoal.session import Session

__all__ = ["Page", "show"]


class Page:
    """A page that is being served. A notebook shows it where it is the value of a cell; `url` is its address."""

    def __init__(self, server: Server, folder: str, height: int) -> None:
        self.url = server.url
        self._server, self._folder, self._height = server, folder, height

    def close(self) -> None:
        """Ends the server; answers are in the session."""
        if self._server.place.desk is not None:
            self._server.place.desk.close()
        self._server.stop()

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"Page({self.url!r}, session={self._folder!r})"

    def _repr_html_(self) -> str:
        address = html.escape(self.url, quote=True)
        return (
            f'<iframe src="{address}" title="autoal: label" style="width: 100%; height: {self._height}px; border: 0" '
            f'referrerpolicy="no-referrer"></iframe><p>In another window: <a href="{address}" target="_blank" '
            'rel="noopener">label here</a></p>'
        )


def show(session: Session, *, batch_size: int | None = None, height: int = 760, port: int | None = None) -> Page:
    """Serves the page for `session`, and gives it: the value of a cell, or, without a notebook, something with a `url`.

    `batch_size` points are asked for at a time, 20 if nothing was said yet; `height` is that of the cell, in pixels.
    The page works on the session in its folder, so what is answered there shows in `session` at once, and answers of
    this program show there. Without a model and an encoder of your own the next batch is chosen in another process,
    with them in a thread of this one.

    The browser has to run on this machine, or the port has to be forwarded to it. Raises RunError where the extra
    `label` is missing, InvalidInput for a wrong batch size.

    >>> page = show(session)  # doctest: +SKIP
    >>> page.url, page.close()  # doctest: +SKIP
    """
    import warnings

    from autoal.labeling.chooser import Chooser, InProcess, InThread
    from autoal.labeling.desk import Desk, first_batch
    from autoal.settings import integer

    notes = Notes.read(session.folder)
    if batch_size is not None:
        notes.batch_size = integer(batch_size, "batch_size")
        if notes.batch_size < 1:
            raise InvalidInput(f"got batch_size={batch_size}; wanted at least 1")
        notes.write()
    server = Server(port, embedded=True)

    def warn(message: str) -> None:
        warnings.warn(message, AutoALWarning, stacklevel=2)

    chooser: Chooser
    if session.needs_this_process:
        chooser = InThread(session.reopened(), notes.batch_size, warn)
    else:
        chooser = InProcess(session.folder, notes.batch_size, None, warn)
    first_batch(session.reopened(), notes.batch_size)
    server.place.take(Desk(session.reopened(), notes, chooser))
    server.start()
    return Page(server, str(session.folder), height)
