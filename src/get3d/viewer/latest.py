"""A worker for requests that grow old: of each asker only the latest is done."""

import sys
import threading
import time
import traceback
from collections.abc import Callable, Hashable

__all__ = ["Latest"]


class Latest:
    """Does one thing at a time in a thread of its own; what an asker asked before is dropped unless it has begun."""

    def __init__(self, name: str) -> None:
        self._jobs: dict[Hashable, tuple[float, Callable[[], None]]] = {}
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def ask(self, asker: Hashable, job: Callable[[], None], delay: float = 0.0) -> None:
        """Does something in so many seconds, unless the asker asks for something else before."""
        with self._changed:
            self._jobs[asker] = (time.monotonic() + delay, job)
            self._changed.notify()

    def forget(self, asker: Hashable) -> None:
        """Drops what an asker has asked for."""
        with self._changed:
            self._jobs.pop(asker, None)

    def stop(self) -> None:
        """Ends the thread after what it is doing."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except Exception:  # One request that failed must not end the page for all windows.
                sys.stderr.write(traceback.format_exc())

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._stopped:
                if not self._jobs:
                    self._changed.wait()
                    continue
                asker = min(self._jobs, key=lambda each: self._jobs[each][0])
                due, job = self._jobs[asker]
                left = due - time.monotonic()
                if left <= 0:
                    del self._jobs[asker]
                    return job
                self._changed.wait(left)
        return None
