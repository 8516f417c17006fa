"""Fits of a model to a photo that a window sends: the page shows what it has so far, and goes on from the result."""

import re
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import viser

from get3d.files import InputError
from get3d.fitting.comparison import comparison
from get3d.fitting.config import FitConfig
from get3d.fitting.fit import Stage, doubt, drawn_as_fitted, invert, numbers, training_starts
from get3d.fitting.inversion import Step
from get3d.fitting.photos import Photo, read_photo
from get3d.viewer.latest import Latest
from get3d.viewer.studio import Pick, Studio
from get3d.viewer.windows import on_use

__all__ = ["Fits", "PhotoFit"]

_REFRESH = 1.0
"""Seconds between updates of what is shown."""


class Fits(Latest):
    """One fit after the other, of all windows."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        super().__init__("fits")

    def stop(self) -> None:
        """Ends the fit that is running, and the thread."""
        self.ended.set()
        super().stop()


@dataclass(frozen=True)
class _File:
    name: str
    content: bytes


class _CancelledError(Exception):
    """The user, or the end of the page, has ended a fit."""


class PhotoFit:
    """The controls of a window for fits, and the fit of its photo.

    Args:
        client: the window.
        fits: where fits run.
        studio: the model.
        label: gives the class that is chosen, of a model of several.
        watched: called when a fit begins, gives a function that shows an object until the user looks at another one.
        take: called with the object that a fit has found; with None if it has ended without.
    """

    def __init__(
        self,
        client: viser.ClientHandle,
        fits: Fits,
        studio: Studio,
        label: Callable[[], str | None],
        watched: Callable[[], Callable[[Pick], None]],
        take: Callable[[Pick | None], None],
    ) -> None:
        self._client, self._fits, self._studio = client, fits, studio
        self._label, self._watched, self._take = label, watched, take
        self._photo: _File | None = None
        self._running: threading.Event | None = None
        self._lock = threading.Lock()
        gui = client.gui
        with gui.add_folder("From a photo", expand_by_default=False):
            self._upload = gui.add_upload_button(
                "Fit to a photo",
                mime_type="image/*",
                hint="Of one object: with alpha, or on a background of one colour",
            )
            self._mask = gui.add_upload_button(
                "Mask of the photo",
                mime_type="image/*",
                hint="White is the object; fits the photo again",
                visible=False,
            )
            self._said = gui.add_text("Fit", "", disabled=True, multiline=True, visible=False)
            self._bar = gui.add_progress_bar(0.0, animated=True, visible=False)
            self._image = gui.add_image(np.zeros((1, 1, 3), np.uint8), label="Photo, fit, difference", visible=False)
            self._cancel = gui.add_button("Cancel the fit", visible=False)
        self._upload.on_upload(lambda _: self._sent(self._upload.value, mask=False))
        self._mask.on_upload(lambda _: self._sent(self._mask.value, mask=True))
        on_use(client, self._cancel, self.cancel)

    def cancel(self) -> None:
        """Ends the fit, if one is running or waiting."""
        with self._lock:
            if self._running is not None:
                self._running.set()

    def _sent(self, file: viser.UploadedFile, *, mask: bool) -> None:
        """Begins a fit, in place of the one before."""
        self.cancel()
        # Only what a name says, not where it leads.
        sent = _File(re.sub(r"[^\w. -]", "_", file.name)[-60:].lstrip(".") or "image", file.content)
        with self._lock:
            if not mask:
                self._photo = sent
            if self._photo is None:
                return
            photo, running = self._photo, threading.Event()
            self._running = running
        self._say("waiting", running)
        self._fits.ask(self._client.client_id, partial(self._fit, photo, sent if mask else None, running))

    def _fit(self, photo: _File, mask: _File | None, running: threading.Event) -> None:
        label, watched, pick = self._label(), self._watched(), None
        try:
            self._shown(running, 0.0)
            pick = self._found(_read(photo, mask), label, running, watched)
        except InputError as error:
            self._say(str(error), running)
            self._client.add_notification("Not done", str(error), color="red")
        except _CancelledError:
            self._say("cancelled", running)
        finally:
            self._shown(running, None)
            self._take(pick)

    def _found(
        self, photo: Photo, label: str | None, running: threading.Event, watched: Callable[[Pick], None]
    ) -> Pick:
        settings, last = self._studio.settings, 0.0
        generator = self._studio.copy()

        def progress(stage: Stage, step: Step | None) -> None:
            nonlocal last
            if running.is_set() or self._fits.ended.is_set():
                raise _CancelledError
            if time.monotonic() - last < _REFRESH:
                return
            last = time.monotonic()
            self._say(f"{stage.name}: {stage.done} of {stage.total} steps", running)
            self._shown(running, 100 * stage.done / stage.total)
            if step is not None:
                best = step.best()
                self._show(np.asarray(comparison(best.drawn, best.real).convert("RGB")), running)
                watched(self._studio.of_styles(best.found.styles, label))

        config = FitConfig(settings.model, settings.out, label=label, device=settings.device)
        trained = training_starts(settings.model, generator.device) if self._studio.named else None
        found, generator, objective = invert(generator, config, [photo], None, trained, progress)
        drawn = drawn_as_fitted(generator, found, objective)
        self._show(np.asarray(comparison(drawn, objective.real).convert("RGB")), running)
        values = numbers(drawn, found, objective)
        (iou,), (psnr,), ((azimuth, polar),) = values["iou"], values["psnr"], values["angles"]
        said = [f"fitted: IoU {iou:.2f}, PSNR {psnr:.1f} dB, azimuth {azimuth:.0f}°, polar angle {polar:.0f}°"]
        self._say("\n".join([*said, *(one for one in (doubt(iou), photo.removed) if one)]), running)
        return self._studio.of_styles(found.styles, label)

    # Display. A fit that another one has replaced shows nothing more.

    def _say(self, text: str, running: threading.Event) -> None:
        with self._lock:
            if running is self._running:
                self._said.value, self._said.visible = text, True

    def _show(self, image: np.ndarray, running: threading.Event) -> None:
        with self._lock:
            if running is self._running:
                self._image.image, self._image.visible = image, True

    def _shown(self, running: threading.Event, share: float | None) -> None:
        """Shows how far a fit is, in percent; None after its end."""
        with self._lock:
            if running is not self._running:
                return
            self._bar.visible = self._cancel.visible = share is not None
            self._bar.value = share or 0.0
            self._mask.visible = True


def _read(photo: _File, mask: _File | None) -> Photo:
    """Reads a photo that a window has sent.

    Raises:
        InputError: as `read_photo`; the message has the name that the file has there.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, str(number), file.name) for number, file in enumerate((photo, mask)) if file is not None]
        for path, file in zip(paths, (photo, mask), strict=False):
            assert file is not None
            path.parent.mkdir()
            path.write_bytes(file.content)
        try:
            found = read_photo(paths[0], paths[1] if mask is not None else None)
        except InputError as error:
            raise InputError(re.sub(rf"{re.escape(folder)}/\d/", "", str(error))) from error
        removed = None if found.removed is None else re.sub(rf"{re.escape(folder)}/\d/", "", found.removed)
        return Photo(Path(photo.name), found.rgba, removed)
