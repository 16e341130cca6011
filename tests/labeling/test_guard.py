"""Who may talk to the page: nobody but a page of its own, on this machine, that knows the token."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from autoal.labeling.app import Place, make_app
from autoal.labeling.guard import MOST_BODY, TOKEN_HEADER
from tests.labeling.problems import desk_of, picture_session

TOKEN = "a-token-that-nobody-guesses"
HOME = "http://127.0.0.1:8642"
KNOWN = {TOKEN_HEADER: TOKEN}


class Client:
    """Calls the application without a network."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def __call__(self, method: str, path: str, *, base: str = HOME, **rest: Any) -> Any:
        async def called() -> Any:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url=base) as client:
                return await client.request(method, path, **rest)

        return asyncio.run(called())


@pytest.fixture(scope="module")
def place(tmp_path_factory: Any) -> Iterator[Place]:
    made = Place()
    made.take(desk_of(picture_session(tmp_path_factory.mktemp("guard"))))
    yield made


@pytest.fixture
def client(place: Place) -> Client:
    return Client(make_app(place, TOKEN))


def test_with_the_token_there_is_something_to_label(client: Client) -> None:
    view = client("GET", "/api/view", headers=KNOWN).json()
    assert view["phase"] == "labeling" and len(view["items"]) == 4
    picture = client("GET", f"/api/picture/{view['items'][0]['row']}", headers=KNOWN)
    assert picture.headers["content-type"] == "image/png" and picture.content.startswith(b"\x89PNG")


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN[:-1], TOKEN + "x", "é"])
@pytest.mark.parametrize("path", ["/api/view", "/api/picture/0", "/api/nothing"])
def test_without_the_token_no_data_are_given_out(client: Client, token: str | None, path: str) -> None:
    headers = {} if token is None else {TOKEN_HEADER: token.encode("utf-8")}
    answer = client("GET", path, headers=headers)
    assert answer.status_code == 401 and "digit" not in answer.text and "left" not in answer.text


@pytest.mark.parametrize("path", [f"/api/view?token={TOKEN}", f"/?token={TOKEN}"])
def test_the_token_counts_in_the_header_alone(client: Client, path: str) -> None:
    """An address ends up in logs and histories; a cookie would be sent by other pages too."""
    answer = client("GET", path, headers={"cookie": f"token={TOKEN}; {TOKEN_HEADER}={TOKEN}"})
    assert answer.status_code == (401 if "/api/" in path else 200)
    assert "set-cookie" not in answer.headers and "pictures-session" not in answer.text


def test_the_token_is_compared_in_constant_time(client: Client, monkeypatch: Any) -> None:
    import hmac

    seen: list[Any] = []
    compare = hmac.compare_digest
    monkeypatch.setattr("autoal.labeling.guard.hmac.compare_digest", lambda *a: seen.append(a) or compare(*a))
    assert client("GET", "/api/view", headers={TOKEN_HEADER: "wrong"}).status_code == 401
    assert len(seen) == 1


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8642", "127.0.0.1.evil.example", "localhost.evil.example:8642", "", "127.0.0.2",
     "evil@127.0.0.1:8642", "127.0.0.1:8642@evil.example", "127.0.0.1:port", "0.0.0.0:8642", "169.254.169.254"],
)  # fmt: skip
def test_another_name_for_this_machine_is_turned_away(client: Client, host: str) -> None:
    """DNS rebinding: a page of evil.example, whose name suddenly leads here, sends its own name."""
    for path in ("/", "/api/view"):
        assert client("GET", path, headers={**KNOWN, "host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8642", "localhost:8642", "127.0.0.1", "localhost:9000", "[::1]:8642"])
def test_its_own_names_are_fine_also_through_a_forwarded_port(client: Client, host: str) -> None:
    assert client("GET", "/api/view", headers={**KNOWN, "host": host}).status_code == 200
    same = {**KNOWN, "host": host, "origin": f"http://{host}"}
    assert client("GET", "/api/view", headers=same).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "https://127.0.0.1:8642", "http://127.0.0.1:8643", "http://localhost:8642"],
)
def test_a_request_of_another_page_is_turned_away(client: Client, origin: str) -> None:
    for method, path in (("GET", "/api/view"), ("POST", "/api/undo"), ("GET", "/")):
        assert client(method, path, headers={**KNOWN, "origin": origin}, json={}).status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_a_browser_says_of_another_page_is_heard(client: Client, site: str) -> None:
    assert client("GET", "/api/view", headers={**KNOWN, "sec-fetch-site": site}).status_code == 403


@pytest.mark.parametrize(
    "path",
    ["/api/picture/../../../../etc/passwd", "/api/picture/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/..%2f..%2fetc/passwd",
     "/page/index.html", "/guard.py", "/../guard.py", "/api/picture/left-00.png", "/api/picture/-1",
     "/api/picture/99999999999999999999", "/api/picture/12", "/api/picture//etc/passwd", "/api/picture/0/../1.json"],
)  # fmt: skip
def test_nothing_outside_the_pool_is_served(client: Client, path: str) -> None:
    """Rows are named by number, so no path can be asked for at all."""
    answer = client("GET", path, headers=KNOWN)
    assert answer.status_code in (404, 405) and b"root:" not in answer.content and b"class Guard" not in answer.content


def test_nothing_is_uploaded(client: Client) -> None:
    big = b'{"name": "' + b"x" * MOST_BODY + b'"}'
    headers = {**KNOWN, "content-type": "application/json"}
    assert client("POST", "/api/class", headers=headers, content=big).status_code == 413

    async def in_parts() -> Any:
        for _ in range(MOST_BODY // 1000 + 1):
            yield b"x" * 1000

    assert client("POST", "/api/class", headers=headers, content=in_parts()).status_code == 413
    assert client("POST", "/api/class", headers=KNOWN, files={"file": b"x"}).status_code == 415
    assert client("POST", "/", headers=headers, content=b"{}").status_code == 405
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert client(method, "/api/view", headers=KNOWN).status_code == 405


def test_browsers_are_told_to_run_nothing_else_and_to_keep_nothing(client: Client) -> None:
    view = client("GET", "/api/view", headers=KNOWN).json()
    for path in ("/", "/page.js", "/page.css", "/icon.svg", "/api/view", f"/api/picture/{view['items'][0]['row']}"):
        answer = client("GET", path, headers=KNOWN)
        policy = answer.headers["content-security-policy"]
        assert answer.status_code == 200 and "default-src 'none'" in policy and "script-src 'self'" in policy
        assert "unsafe" not in policy and "*" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
    assert "content-security-policy" in client("GET", "/api/view").headers  # on refusals too


def test_a_notebook_may_frame_it_and_nobody_else(place: Place) -> None:
    policy = Client(make_app(place, TOKEN, embedded=True))("GET", "/").headers["content-security-policy"]
    assert "frame-ancestors http://localhost:*" in policy and "https://*" not in policy


def test_the_page_has_no_script_style_or_address_of_others(client: Client) -> None:
    page, script, style = (client("GET", path).text for path in ("/", "/page.js", "/page.css"))
    for text in (page, script, style):
        assert "http://" not in text and "https://" not in text
    assert "<script>" not in page and " style=" not in page and "onclick" not in page
    for dangerous in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert dangerous not in script


@pytest.mark.parametrize(
    ("path", "body"),
    [("label", {}), ("label", {"row": "0", "label": "x"}), ("label", {"row": True, "label": "x"}),
     ("label", {"row": 0.0, "label": "x"}), ("label", {"row": 0, "label": 1}), ("skip", {}), ("class", {"name": []})],
)  # fmt: skip
def test_requests_of_other_shapes_are_refused(client: Client, path: str, body: dict[str, Any]) -> None:
    assert client("POST", f"/api/{path}", headers=KNOWN, json=body).status_code == 400


@pytest.mark.parametrize("body", [b"", b"[]", b"no", b"\xff", b"[" * 20000, b"1"])
def test_what_is_no_json_is_refused(client: Client, body: bytes) -> None:
    headers = {**KNOWN, "content-type": "application/json"}
    assert client("POST", "/api/label", headers=headers, content=body).status_code == 400


def test_before_the_desk_stands_the_page_says_so() -> None:
    client = Client(make_app(Place(), TOKEN))
    assert client("GET", "/api/view", headers=KNOWN).json() == {"phase": "starting"}
    assert client("POST", "/api/undo", headers=KNOWN, json={}).status_code == 503
    assert client("GET", "/api/picture/0", headers=KNOWN).status_code == 503


def test_answers_go_through_and_refusals_say_why(tmp_path: Path) -> None:
    place = Place()
    session = picture_session(tmp_path, classes=["left", "right"])
    place.take(desk_of(session))
    client = Client(make_app(place, TOKEN))
    first, second = client("GET", "/api/view", headers=KNOWN).json()["items"][:2]
    view = client("POST", "/api/label", headers=KNOWN, json={"row": first["row"], "label": "left"}).json()
    assert session.labeled == {first["name"]: "left"} and view["items"][0] == second
    again = client("POST", "/api/label", headers=KNOWN, json={"row": first["row"], "label": "right"})
    assert again.status_code == 409 and "has an answer already" in again.json()["error"]
    wrong = client("POST", "/api/label", headers=KNOWN, json={"row": second["row"], "label": "nope"})
    assert wrong.status_code == 409 and session.labeled == {first["name"]: "left"}
    assert client("POST", "/api/undo", headers=KNOWN, json={}).json()["items"][0] == first
    client("POST", "/api/skip", headers=KNOWN, json={"row": first["row"], "foreign": True})
    assert session.skipped == {first["name"]: "ood"}
