"""The web server of the live page: viser with access control."""

import http
import io
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

import viser
import websockets.asyncio.server
from websockets.http11 import Request, Response

from get3d.files import InputError
from get3d.viewer.client import adapted

__all__ = ["Gate", "Server", "is_loopback", "start_server"]

_COOKIE = "get3d-token"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_loopback(host: str) -> bool:
    """Whether an address can be reached only from this machine."""
    return host in _LOOPBACK


class Server(viser.ViserServer):
    """A server without viser's option to share a page through its makers' servers.

    Attributes:
        address: what to open in a browser.
    """

    address: str

    def request_share_url(self, verbose: bool = True) -> str | None:
        """Does nothing; pages are not shared."""
        return None


class Gate:
    """Access control: only this server's own pages, and, if other machines can reach it, only with its token.

    Any open page of a browser can call addresses of the browser's machine, by name or through a DNS name that points to
    it (DNS rebinding). So the requested host and the origin of the request are compared.
    """

    def __init__(self, host: str) -> None:
        self.token = None if is_loopback(host) else secrets.token_urlsafe(16)

    def refusal(self, request: Request) -> str | None:
        """Why a request is refused; None if it is answered."""
        host = request.headers.get("Host", "")
        if self.token is None and urlsplit(f"//{host}").hostname not in _LOOPBACK:
            return "This page is only for the machine that it runs on."
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return "Another page may not ask this one."
        if self.token is not None and not any(
            secrets.compare_digest(known.encode(), self.token.encode()) for known in self._known(request)
        ):
            return "Open the address that get3d view has printed, with its token."
        return None

    def cookie(self, request: Request) -> str | None:
        """The cookie with which the page's own requests carry the token."""
        if self.token is None or self.token not in _in_query(request):
            return None
        return f"{_COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/"

    def _known(self, request: Request) -> Iterator[str]:
        yield from _in_query(request)
        try:
            cookie = SimpleCookie(request.headers.get("Cookie", ""))
        except CookieError:
            return
        if _COOKIE in cookie:
            yield cookie[_COOKIE].value


def start_server(host: str, port: int, title: str) -> Server:
    """Starts to listen.

    Args:
        host: address to listen on.
        port: first port that is tried.
        title: of the page's panel.

    Raises:
        InputError: the address is not one of this machine.
    """
    try:
        # viser would try a thousand ports of an address that has none.
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        raise InputError(
            f"--host is {host}: nothing can listen there ({error}); give an address of this machine"
        ) from error
    gate = Gate(host)
    # It prints a banner, which would say the address without the token.
    with _gated(gate), redirect_stdout(io.StringIO()):
        server = Server(host, port, title, verbose=False)
    shown = f"[{host}]" if ":" in host else host
    server.address = f"http://{shown}:{server.get_port()}/" + (f"?token={gate.token}" if gate.token else "")
    server.gui.configure_theme(show_logo=False, show_share_button=False)
    server.gui.main_panel.dock_right()
    server.scene.set_up_direction("+y")
    return server


def _in_query(request: Request) -> list[str]:
    return parse_qs(urlsplit(request.path).query).get("token", [])


def _answered(response: Response, cookie: str | None) -> Response:
    """What viser answers, with a cookie, and its page with what is added to it."""
    headers = response.headers
    if headers.get("Content-Type", "").startswith("text/html"):
        response.body = adapted(bytes(response.body), gzipped=headers["Content-Encoding"] == "gzip")
        del headers["Content-Length"]
        headers["Content-Length"] = str(len(response.body))
    if cookie is not None:
        headers["Set-Cookie"] = cookie
    return response


@contextmanager
def _gated(gate: Gate) -> Iterator[None]:
    """Servers of websockets that are started meanwhile ask the gate first; viser has no option for this."""
    module: Any = websockets.asyncio.server
    original: Callable[..., Any] = module.serve

    def serve(*arguments: Any, process_request: Callable[..., Response | None], **options: Any) -> Any:
        def checked(connection: Any, request: Request) -> Response | None:
            why = gate.refusal(request)
            if why is not None:
                refused: Response = connection.respond(http.HTTPStatus.FORBIDDEN, f"{why}\n")
                return refused
            response = process_request(connection, request)
            return None if response is None else _answered(response, gate.cookie(request))

        return original(*arguments, process_request=checked, **options)

    module.serve = serve
    try:
        yield
    finally:
        module.serve = original
