"""A worker that runs only the latest request of each client."""

import sys
import threading
import time
import traceback
from collections.abc import Callable, Hashable

__all__ = ["Latest"]


class Latest:
    """Runs one job at a time in a thread of its own. A new job replaces a waiting one of the same client."""

    def __init__(self, name: str) -> None:
        self._jobs: dict[Hashable, tuple[float, Callable[[], None]]] = {}
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def ask(self, client: Hashable, job: Callable[[], None], delay: float = 0.0) -> None:
        """Runs a job after a delay in seconds, unless the client asks for another one before."""
        with self._changed:
            self._jobs[client] = (time.monotonic() + delay, job)
            self._changed.notify()

    def forget(self, client: Hashable) -> None:
        """Drops a client's waiting job."""
        with self._changed:
            self._jobs.pop(client, None)

    def stop(self) -> None:
        """Ends the thread after the job that is running."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except Exception:  # A failed request must not stop the page for all windows.
                sys.stderr.write(traceback.format_exc())

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._stopped:
                if not self._jobs:
                    self._changed.wait()
                    continue
                client = min(self._jobs, key=lambda each: self._jobs[each][0])
                due, job = self._jobs[client]
                left = due - time.monotonic()
                if left <= 0:
                    del self._jobs[client]
                    return job
                self._changed.wait(left)
        return None
