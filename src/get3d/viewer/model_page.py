"""The page of a model: each window that is open has an object of its own, and sliders for it."""

import shlex
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import viser

from get3d.files import InputError
from get3d.generation.manifest import MANIFEST
from get3d.viewer.camera import look_as_in_training
from get3d.viewer.latest import Latest
from get3d.viewer.studio import NEIGHBOURS, Pick, Studio

__all__ = ["ModelPage"]

SEEDS = 9999
"""The largest seed of the sliders."""
REST = 0.3
"""Seconds without a change until the textured object is made."""
_STEPS = 100
"""Of the history, at most."""
_NOTHING = "nothing kept yet"


class ModelPage:
    """The windows of a model, and the two threads that work for them: previews never wait for textures."""

    def __init__(self, server: viser.ViserServer, studio: Studio) -> None:
        self.studio = studio
        self.previews, self.objects = Latest("previews"), Latest("objects")
        self.windows: dict[int, Window] = {}
        server.on_client_connect(self._open)
        server.on_client_disconnect(self._close)

    def stop(self) -> None:
        """Ends the threads."""
        self.previews.stop()
        self.objects.stop()

    def _open(self, client: viser.ClientHandle) -> None:
        self.windows[client.client_id] = Window(client, self)

    def _close(self, client: viser.ClientHandle) -> None:
        self.windows.pop(client.client_id, None)
        for worker in (self.previews, self.objects):
            worker.forget(client.client_id)


class Window:
    """One browser window."""

    def __init__(self, client: viser.ClientHandle, page: ModelPage) -> None:
        self._client, self._page, self._studio = client, page, page.studio
        self._kept: dict[str, Pick] = {}
        self._near: list[Pick] = []
        self._draws = 0
        self._past: list[Pick] = []
        self._future: list[Pick] = []
        self._version = 0
        self._ready = False
        self._build(client.gui)
        prior = self._studio.generator.config.cameras
        look_as_in_training(client, prior)
        self._pick = self._from_sliders()
        self._show(self._pick)

    def _build(self, gui: viser.GuiApi) -> None:
        self._state = gui.add_text("State", "starting", disabled=True)
        self._name = gui.add_text("Name", "object-1", hint="Of the file that is saved")
        self._on(
            gui.add_button("Save", color="green", hint="Write this object as a .glb, with its textures"), self._save
        )
        self._saved = gui.add_text("Make it again with", "", disabled=True, multiline=True, visible=False)
        with gui.add_folder("Shape"):
            classes = self._studio.generator.config.classes
            self._label = gui.add_dropdown("Class", classes) if classes else None
            self._geometry = gui.add_slider("Geometry seed", 0, SEEDS, 1, 0)
            self._texture = gui.add_slider("Texture seed", 0, SEEDS, 1, 0)
            self._psi = gui.add_slider(
                "ψ", 0.0, 2.0, 0.01, self._studio.settings.psi or 0.7, hint="0 is the mean object, 1 the full variety"
            )
            for slider in (self._geometry, self._texture, self._psi, *([self._label] if self._label else [])):
                self._on(slider, partial(self._slid, slider))
            self._on(gui.add_button("Another at random"), self._random)
        with gui.add_folder("More like this"):
            self._strength = gui.add_slider("How different", 0.05, 1.0, 0.05, 0.3)
            self._on(gui.add_button("More like this"), self._more)
            self._image = gui.add_image(np.zeros((1, 1, 3), np.uint8), label="Take one", visible=False)
            numbers = [str(number + 1) for number in range(NEIGHBOURS)]
            self._take = gui.add_button_group("Take", numbers, visible=False)
            self._on(self._take, self._take_one)
        with gui.add_folder("Kept objects"):
            self._on(gui.add_button("Keep this one"), self._keep)
            self._first = gui.add_dropdown("First", [_NOTHING])
            self._second = gui.add_dropdown("Second", [_NOTHING])
            self._on(gui.add_button("Geometry of the first, texture of the second"), self._mix)
            self._share = gui.add_slider("From first to second", 0.0, 1.0, 0.01, 0.0)
            self._on(self._share, self._go_between)
        with gui.add_folder("History"):
            self._undo = gui.add_button("Undo", disabled=True)
            self._on(self._undo, partial(self._step, forward=False))
            self._redo = gui.add_button("Redo", disabled=True)
            self._on(self._redo, partial(self._step, forward=True))
        with gui.add_folder("View"):
            camera = gui.add_button("Camera as in training")
            self._on(camera, partial(look_as_in_training, self._client, self._studio.generator.config.cameras))

    def _on(self, handle: Any, act: Callable[[], None]) -> None:
        """Lets a control do something when somebody, and not this program, has used it."""

        def used(event: Any) -> None:
            if event.client is None:
                return
            try:
                act()
            except (InputError, ValueError) as error:
                self._client.add_notification("Not done", str(error), color="red")

        (handle.on_click if hasattr(handle, "on_click") else handle.on_update)(used)

    # What is asked for

    def _from_sliders(self) -> Pick:
        label = self._label.value if self._label else None
        return self._studio.pick(self._geometry.value, self._texture.value, self._psi.value, label)

    def _slid(self, slider: Any) -> None:
        """Changes what a slider says, and leaves the rest, which may be of no seed."""
        new, old = self._from_sliders(), self._pick
        if slider is self._geometry:
            pick = self._studio.mixed(replace(new, psi=old.psi), old)
        elif slider is self._texture:
            pick = self._studio.mixed(old, new)
        elif slider is self._psi:
            pick = replace(old, psi=new.psi)
        else:
            pick = new
        self._change(pick)

    def _random(self) -> None:
        seed = int(np.random.default_rng().integers(SEEDS + 1))
        self._geometry.value = self._texture.value = seed
        self._change(self._from_sliders())

    def _more(self) -> None:
        self._draws += 1
        found = self._studio.neighbours(self._pick, self._strength.value, self._draws)
        self._near = found.picks
        self._image.image = found.image
        self._image.visible = self._take.visible = True

    def _take_one(self) -> None:
        self._change(self._near[int(self._take.value) - 1])

    def _keep(self) -> None:
        title = f"{len(self._kept) + 1}: {self._pick.title}"
        self._kept[title] = self._pick
        for dropdown in (self._first, self._second):
            chosen = dropdown.value
            dropdown.options = list(self._kept)
            dropdown.value = title if dropdown is self._second or chosen == _NOTHING else chosen

    def _chosen(self) -> tuple[Pick, Pick]:
        if not self._kept:
            raise InputError("nothing is kept yet; press Keep this one, for two objects")
        return self._kept[self._first.value], self._kept[self._second.value]

    def _mix(self) -> None:
        self._change(self._studio.mixed(*self._chosen()))

    def _go_between(self) -> None:
        self._change(self._studio.between(*self._chosen(), self._share.value))

    def _step(self, *, forward: bool) -> None:
        here, there = (self._past, self._future) if forward else (self._future, self._past)
        if there:
            here.append(self._pick)
            self._set(there.pop())

    def _save(self) -> None:
        settings, name = self._studio.settings, self._name.value
        version, state = self._version, self._state.value
        self._say("saving")
        try:
            entry = self._studio.save(self._pick, name)
        finally:
            if version == self._version:
                self._state.value = state
        options = {
            "--faces": settings.faces,
            "--texture": settings.texture,
            "--small-components": settings.small_components,
        }
        words = ["get3d", "generate", settings.model, "--latents", str(settings.out / MANIFEST)]
        words += [str(word) for option in options.items() for word in option]
        self._saved.value, self._saved.visible = shlex.join(words), True
        self._client.add_notification("Saved", str(settings.out / entry["file"]), color="green")
        self._name.value = _next(name)

    # What is shown

    def _change(self, pick: Pick) -> None:
        self._past = [*self._past[-_STEPS:], self._pick]
        self._future = []
        self._set(pick)

    def _set(self, pick: Pick) -> None:
        self._pick = pick
        for slider, value in ((self._geometry, pick.geometry_seed), (self._texture, pick.texture_seed)):
            if value is not None:
                slider.value = value
        self._psi.value = pick.psi
        self._undo.disabled, self._redo.disabled = not self._past, not self._future
        self._show(pick)

    def _show(self, pick: Pick) -> None:
        self._version += 1
        self._ready = False
        self._say("waiting")
        asker, version = self._client.client_id, self._version
        self._page.previews.ask(asker, lambda: self._made(version, self._studio.preview(pick), "preview"))
        self._page.objects.ask(asker, lambda: self._made(version, self._studio.textured(pick), "ready"), REST)

    def _made(self, version: int, content: bytes | None, state: str) -> None:
        """Shows what was made, if nothing else was asked for meanwhile and nothing better is there."""
        if version != self._version or (state == "preview" and self._ready):
            return
        self._ready = state == "ready"
        if content is None:
            self._say("no surface")
            return
        self._client.scene.add_glb("/object", content)
        self._say(state)

    def _say(self, state: str) -> None:
        self._state.value = f"{state}: {self._pick.title}"


def _next(name: str) -> str:
    """The name with the next number at its end."""
    stem = name.rstrip("0123456789")
    return f"{stem}{int(name[len(stem) :] or 1) + 1}" if stem != name else f"{name}-2"
