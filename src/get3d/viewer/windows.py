"""The open browser windows of a page, and what their controls do."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

import viser

from get3d.files import InputError

__all__ = ["Closable", "Windows", "on_press", "on_use"]


class Closable(Protocol):
    """A window that can be closed."""

    def close(self) -> None:
        """Ends what it still waits for."""


W = TypeVar("W", bound=Closable)


class Windows(Generic[W]):
    """The open windows of a page.

    The server says in threads of its own that windows open and close, in any order: a window may be closed before it
    is made.
    """

    def __init__(self, server: viser.ViserServer, make: Callable[[viser.ClientHandle], W]) -> None:
        """Makes a window for each that is open or will be opened.

        Args:
            server: the server.
            make: makes a window, and may not ask for the others.
        """
        self._server, self._make = server, make
        self._windows: dict[int, W] = {}
        self._lock = threading.Lock()
        server.on_client_connect(self._opened)
        server.on_client_disconnect(self._closed)

    @contextmanager
    def held(self) -> Iterator[list[W]]:
        """All windows. While it lasts none is made, so that none misses what is changed for all of them."""
        with self._lock:
            yield list(self._windows.values())

    def _opened(self, client: viser.ClientHandle) -> None:
        with self._lock:
            self._windows[client.client_id] = self._make(client)
        # The server forgets a window before it says that it is closed.
        if client.client_id not in self._server.get_clients():
            self._closed(client)

    def _closed(self, client: viser.ClientHandle) -> None:
        with self._lock:
            window = self._windows.pop(client.client_id, None)
        if window is not None:
            window.close()


def on_use(client: viser.ClientHandle, control: Any, act: Callable[[], None]) -> None:
    """Calls a function when a user, not this program, has used a control of a window. Its errors are shown there."""

    def used(event: Any) -> None:
        if event.client is None:
            return
        try:
            act()
        except (InputError, ValueError) as error:
            client.add_notification("Not done", str(error), color="red")

    (control.on_click if hasattr(control, "on_click") else control.on_update)(used)


def on_press(client: viser.ClientHandle, button: Any, working: str, act: Callable[[], None]) -> None:
    """As `on_use`, for a button whose work takes long: it says so meanwhile, and cannot be pressed again.

    Args:
        client: the window.
        button: the button.
        working: its label while it works. If `act` changes the label, the button stays as `act` leaves it.
        act: the work.
    """
    label, turn = button.label, threading.Lock()

    def once() -> None:
        # The browser may send a second press before it knows that the button is disabled.
        if not turn.acquire(blocking=False):
            return
        try:
            button.label, button.disabled = working, True
            act()
        finally:
            if button.label == working:
                button.label, button.disabled = label, False
            turn.release()

    on_use(client, button, once)
