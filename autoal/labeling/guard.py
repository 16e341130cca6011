"""Who may talk to the page's server: a page of its own, on this machine, that knows the token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException

__all__ = ["MOST_BODY", "TOKEN_HEADER", "Guard"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

TOKEN_HEADER = "x-autoal-token"
HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
MOST_BODY = 64 * 1024
"""Bytes of a request's body: an answer is a line. Nothing is uploaded."""
NOTEBOOKS = "http://localhost:* http://127.0.0.1:* https://localhost:* https://127.0.0.1:* vscode-webview:"


class Guard:
    """Checks every request before the application sees it, and puts on each answer what browsers need to know.

    - Host names this machine, whatever the port (it may be forwarded): a page elsewhere whose name was pointed here,
      as in DNS rebinding, is turned away.
    - Origin, where a browser sends one, is the page itself, and so is Sec-Fetch-Site for data.
    - Data (`/api/`) wants the token in a header, which no other page can send, so there is no cookie to misuse. It is
      compared in constant time. The page itself holds no data and needs none.
    - Only GET and POST; a POST is JSON of at most MOST_BODY bytes.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], token: str, embedded: bool = False) -> None:
        self._app, self._token = app, token.encode()
        ancestors = NOTEBOOKS if embedded else "'none'"
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
            f"base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
        )
        self._headers = [
            (b"content-security-policy", policy.encode()),
            (b"cache-control", b"no-store"),
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
            (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
        ]
        if not embedded:
            self._headers += [
                (b"x-frame-options", b"DENY"),
                (b"cross-origin-resource-policy", b"same-origin"),
                (b"cross-origin-opener-policy", b"same-origin"),
            ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def sent(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *self._headers]}
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await _refuse(sent, *refusal)
            return
        count = 0

        async def received() -> MutableMapping[str, Any]:
            nonlocal count
            message = await receive()
            count += len(message.get("body", b""))
            if count > MOST_BODY:
                raise HTTPException(413, f"wanted at most {MOST_BODY} bytes")
            return message

        await self._app(scope, received, sent)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason, where the request is turned away."""
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in headers and name in (b"host", b"origin", TOKEN_HEADER.encode()):
                return 400, f"got {name.decode()} twice"
            headers[name] = value
        host = headers.get(b"host", b"").decode("latin-1")
        if _name_of(host) not in HOSTS:
            return 421, "this page answers to 127.0.0.1 and localhost only"
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1") != f"http://{host}":
            return 403, "the request came from another page"
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "wanted GET or POST"
        if not scope["path"].startswith("/api/"):
            return None if scope["method"] != "POST" else (405, "wanted GET")
        if headers.get(b"sec-fetch-site", b"same-origin") not in (b"same-origin", b"none"):
            return 403, "the request came from another page"
        if not hmac.compare_digest(headers.get(TOKEN_HEADER.encode(), b""), self._token):
            return 401, "wanted the token of this page; open the address that the terminal shows"
        if scope["method"] == "POST":
            if headers.get(b"content-type", b"").split(b";")[0].strip().lower() != b"application/json":
                return 415, "wanted JSON"
            length = headers.get(b"content-length", b"0")
            if not length.isdigit() or int(length) > MOST_BODY:
                return 413, f"wanted at most {MOST_BODY} bytes"
        return None


def _name_of(host: str) -> str | None:
    """The name in a Host header, without the port; None for what is none."""
    try:
        parts = urlsplit(f"http://{host}")
        return parts.hostname if parts.netloc == host and "@" not in host and (parts.port or True) else None
    except ValueError:
        return None


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = reason.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
