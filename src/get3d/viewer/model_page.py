"""The page of a model: each open window has an object of its own, with sliders."""

import shlex
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import viser

from get3d.export import TexturedMesh
from get3d.files import InputError
from get3d.generation.manifest import MANIFEST
from get3d.viewer.camera import look_as_in_training, open_as_in_training
from get3d.viewer.lamps import Lamps
from get3d.viewer.latest import Latest
from get3d.viewer.look import Look, Shown, draw, shown, views_of
from get3d.viewer.photo_fit import Fits, PhotoFit
from get3d.viewer.studio import NEIGHBOURS, Pick, Studio
from get3d.viewer.windows import Windows, on_press, on_use

__all__ = ["ModelPage"]

SEEDS = 9999
"""The largest seed of the sliders."""
FINEST = 128
"""The finest grid of the slider."""
REST = 0.3
"""Seconds without a change before the textured object is made."""
_STEPS = 100
"""Maximum length of the history."""
_NOTHING = "nothing kept yet"


class ModelPage:
    """The windows of a model, and worker threads, so that previews never wait for textures, nor these for fits."""

    def __init__(self, server: viser.ViserServer, studio: Studio) -> None:
        self.studio = studio
        self.previews, self.objects, self.fits = Latest("previews"), Latest("objects"), Fits()
        self._windows = Windows(server, lambda client: Window(client, self))

    def stop(self) -> None:
        """Ends the threads."""
        for worker in (self.fits, self.previews, self.objects):
            worker.stop()

    def rename(self, number: int, name: str) -> None:
        """Gives a direction a name in all windows.

        Raises:
            InputError: as `Studio.rename`.
        """
        with self._windows.held() as windows:
            self.studio.rename(number, name)
        for window in windows:
            window.show_names()


@dataclass(frozen=True)
class _Made:
    pick: Pick
    grid: int
    faces: int | None
    textured: TexturedMesh | None


class Window:
    """One browser window.

    The server calls what a control does in a thread of its own, and may do so before the control before it is done.
    So everything here is read and changed under a lock, from what is then shown, and a control is written only where
    that changes what it stands for: the user may be using another one. Only work that takes long is done without the
    lock, on what was shown when it began; a button does nothing while its own work lasts.
    """

    def __init__(self, client: viser.ClientHandle, page: ModelPage) -> None:
        self._client, self._page, self._studio = client, page, page.studio
        self._kept: dict[str, Pick] = {}
        self._near: list[Pick] = []
        self._draws = 0
        self._past: list[Pick] = []
        self._future: list[Pick] = []
        self._used: Any = None
        self._version = 0
        self._ready = self._closed = False
        self._made: _Made | None = None
        self._lock = threading.Lock()
        with self._lock:
            self._build(client.gui)
            open_as_in_training(client, self._studio.generator.config.cameras)
            self._pick = self._from_sliders()
            for title, pick in self._studio.listed.items():
                self._hold(title, pick)
            self._set(next(iter(self._studio.listed.values()), self._pick))

    def close(self) -> None:
        """Drops what was asked for and is not shown yet."""
        with self._lock:
            self._closed = True
            self._version += 1
        self._photo.cancel()
        for worker in (self._page.previews, self._page.objects, self._page.fits):
            worker.forget(self._client.client_id)

    def _build(self, gui: viser.GuiApi) -> None:
        self._state = gui.add_text("State", "starting", disabled=True)
        self._proposed = self._studio.unused("object-1")
        self._name = gui.add_text("Name", self._proposed, hint="Of the file that is saved")
        save = gui.add_button("Save", color="green", hint="Write this object as a .glb, with its textures")
        on_press(self._client, save, "Saving …", self._save)
        self._saved = gui.add_text("Make it again with", "", disabled=True, multiline=True, visible=False)
        with gui.add_folder("Shape"):
            classes = self._studio.generator.config.classes
            self._label = gui.add_dropdown("Class", classes) if classes else None
            self._geometry = gui.add_slider("Geometry seed", 0, SEEDS, 1, 0)
            self._texture = gui.add_slider("Texture seed", 0, SEEDS, 1, 0)
            self._psi = gui.add_slider(
                "ψ", 0.0, 2.0, 0.01, self._studio.settings.psi or 0.7, hint="1 is the full variety; lower is more usual"
            )
            for slider in (self._geometry, self._texture, self._psi, *([self._label] if self._label else [])):
                on_use(self._client, slider, partial(self._slid, slider))
            on_use(self._client, gui.add_button("Another at random"), self._random)
        with gui.add_folder("Directions", expand_by_default=False):
            self._build_directions(gui)
        with gui.add_folder("More like this"):
            self._strength = gui.add_slider("How different", 0.05, 1.0, 0.05, 0.3)
            on_press(self._client, gui.add_button("More like this"), "Making eight …", self._more)
            self._image = gui.add_image(np.zeros((1, 1, 3), np.uint8), label="Take one", visible=False)
            numbers = [str(number + 1) for number in range(NEIGHBOURS)]
            self._take = gui.add_button_group("Take", numbers, visible=False)
            on_use(self._client, self._take, self._take_one)
        with gui.add_folder("Kept objects"):
            on_use(self._client, gui.add_button("Keep this one"), self._keep)
            self._first = gui.add_dropdown("First", [_NOTHING])
            self._second = gui.add_dropdown("Second", [_NOTHING])
            on_use(self._client, gui.add_button("Geometry of the first, texture of the second"), self._mix)
            self._share = gui.add_slider("From first to second", 0.0, 1.0, 0.01, 0.0)
            on_use(self._client, self._share, self._go_between)
        self._photo = PhotoFit(self._client, self._page.fits, self._studio, self._class, self._watched, self._fitted)
        with gui.add_folder("History"):
            self._undo = gui.add_button("Undo", disabled=True)
            on_use(self._client, self._undo, partial(self._step, forward=False))
            self._redo = gui.add_button("Redo", disabled=True)
            on_use(self._client, self._redo, partial(self._step, forward=True))
        with gui.add_folder("View"):
            self._build_view(gui)

    def _build_directions(self, gui: viser.GuiApi) -> None:
        self._names = self._studio.names
        self._steps = [gui.add_slider(name, -3.0, 3.0, 0.1, 0.0, hint="In standard deviations") for name in self._names]
        for slider in self._steps:
            on_use(self._client, slider, partial(self._moved, slider))
        self._direction = gui.add_dropdown("Direction", self._names)
        self._called = gui.add_text("Call it", "")
        on_use(self._client, gui.add_button("Rename"), self._rename)

    def _build_view(self, gui: viser.GuiApi) -> None:
        studio, look = self._studio, self._studio.look
        self._views = views_of(studio.generator.config.channels)
        self._view = gui.add_dropdown("Show", list(self._views.values()))
        self._wireframe = gui.add_checkbox("Wireframe", False)
        Lamps(self._client.scene).add_controls(gui)
        self._grid = gui.add_slider("Grid", 8, max(FINEST, look.grid), 1, look.grid, hint="Finer: more detail, slower")
        self._faces = gui.add_number(
            "Triangles", look.faces or 0, min=0, max=10_000_000, step=1000, hint="At most; 0 keeps all"
        )
        for control in (self._view, self._wireframe, self._grid, self._faces):
            on_use(self._client, control, self._redraw)
        camera = gui.add_button("Camera as in training")
        on_use(self._client, camera, partial(look_as_in_training, self._client, studio.generator.config.cameras))

    def _look(self) -> Look:
        """The settings of the view controls."""
        view = next(name for name, title in self._views.items() if title == self._view.value)
        # Fewer than four triangles close no surface.
        faces = max(4, int(self._faces.value)) if self._faces.value else None
        return Look(int(self._grid.value), faces, view, self._wireframe.value)

    # Requests

    def _class(self) -> str | None:
        return self._label.value if self._label else None

    def _drawn(self, geometry_seed: int, texture_seed: int) -> Pick:
        return self._studio.pick(geometry_seed, texture_seed, self._psi.value, self._class())

    def _from_sliders(self) -> Pick:
        return self._drawn(self._geometry.value, self._texture.value)

    def _slid(self, slider: Any) -> None:
        """Changes only what a slider stands for; the rest may not come from a seed."""

        def edit(old: Pick) -> Pick:
            new = self._from_sliders()
            if slider is self._geometry:
                return self._studio.mixed(replace(new, psi=old.psi), old)
            if slider is self._texture:
                return self._studio.mixed(old, new)
            return replace(old, psi=new.psi) if slider is self._psi else new

        self._change(edit, slider)

    def _redraw(self) -> None:
        with self._lock:
            self._used = None
            self._show()

    def _moved(self, slider: Any) -> None:
        self._change(lambda old: replace(old, steps=tuple(float(each.value) for each in self._steps)), slider)

    def _rename(self) -> None:
        with self._lock:
            number, name = self._chosen_direction(), self._called.value
        self._page.rename(number, name)

    def _chosen_direction(self) -> int:
        # The browser may have chosen by a name that another window has changed meanwhile.
        if self._direction.value not in self._names:
            raise InputError(f"no direction is called {self._direction.value!r:.70} any more; choose one again")
        return self._names.index(self._direction.value)

    def show_names(self) -> None:
        """Shows the names of directions, which another window may have changed."""
        with self._lock:
            number = self._names.index(self._direction.value) if self._direction.value in self._names else 0
            self._names = self._studio.names
            for slider, name in zip(self._steps, self._names, strict=True):
                slider.label = name
            self._direction.options = self._names
            self._direction.value = self._names[number]

    def _random(self) -> None:
        seed = int(np.random.default_rng().integers(SEEDS + 1))
        self._change(lambda _: self._drawn(seed, seed))

    def _more(self) -> None:
        with self._lock:
            self._draws += 1
            pick, strength, draws = self._pick, self._strength.value, self._draws
        found = self._studio.neighbours(pick, strength, draws)
        with self._lock:
            self._near = found.picks
            self._image.image = found.image
            self._image.visible = self._take.visible = True

    def _take_one(self) -> None:
        self._change(lambda _: self._near[int(self._take.value) - 1])

    def _fitted(self, pick: Pick | None) -> None:
        self._redraw() if pick is None else self._change(lambda _: pick)

    def _keep(self) -> None:
        with self._lock:
            if any(kept is self._pick for kept in self._kept.values()):
                return
            self._hold(self._pick.title, self._pick)

    def _hold(self, title: str, pick: Pick) -> None:
        title = f"{len(self._kept) + 1}: {title}"
        self._kept[title] = pick
        for dropdown in (self._first, self._second):
            chosen = dropdown.value
            dropdown.options = list(self._kept)
            dropdown.value = title if dropdown is self._second or chosen == _NOTHING else chosen

    def _chosen(self) -> tuple[Pick, Pick]:
        if not self._kept:
            raise InputError("nothing is kept yet; press Keep this one, for two objects")
        return self._kept[self._first.value], self._kept[self._second.value]

    def _mix(self) -> None:
        self._change(lambda _: self._studio.mixed(*self._chosen()))

    def _go_between(self) -> None:
        self._change(lambda _: self._studio.between(*self._chosen(), self._share.value), self._share)

    def _step(self, *, forward: bool) -> None:
        with self._lock:
            here, there = (self._past, self._future) if forward else (self._future, self._past)
            if there:
                self._used = None
                here.append(self._pick)
                self._set(there.pop())

    def _save(self) -> None:
        with self._lock:
            pick, look, name, numbered = self._pick, self._look(), self._name.value, self._name.value == self._proposed
        settings, entry = self._studio.settings, self._studio.save(pick, name, look, numbered=numbered)
        options = {
            "--faces": look.faces,
            "--texture": settings.texture,
            "--small-components": settings.small_components,
        }
        words = ["get3d", "generate", settings.model, "--latents", str(settings.out / MANIFEST)]
        words += [str(word) for option in options.items() for word in option]
        with self._lock:
            self._saved.value, self._saved.visible = shlex.join(words), True
            self._proposed = self._studio.unused(entry["name"])
            if self._name.value == name:
                self._name.value = self._proposed
        self._client.add_notification("Saved", str(settings.out / entry["file"]), color="green")

    # Display

    def _change(self, edit: Callable[[Pick], Pick], control: Any = None) -> None:
        """Shows what a function makes of the object that is shown.

        Args:
            edit: the function.
            control: the slider that was used. All its changes until the object rests are one step of the history.
        """
        with self._lock:
            pick = edit(self._pick)
            if pick is self._pick:
                return
            if control is None or control is not self._used or self._ready:
                self._past = [*self._past, self._pick][-_STEPS:]
            self._used, self._future = control, []
            self._set(pick)

    def _set(self, pick: Pick) -> None:
        old, self._pick = self._pick, pick
        still = (0.0,) * len(self._steps)
        before, after = ((one.geometry_seed, one.texture_seed, one.psi, *(one.steps or still)) for one in (old, pick))
        for slider, was, now in zip(
            (self._geometry, self._texture, self._psi, *self._steps), before, after, strict=True
        ):
            if now is not None and now != was:
                slider.value = now
        if self._label is not None and pick.latents.label is not None:
            self._label.value = self._label.options[int(pick.latents.label)]
        self._undo.disabled, self._redo.disabled = not self._past, not self._future
        self._show()

    def _show(self) -> None:
        if self._closed:
            return
        self._version += 1
        self._ready = False
        self._say("waiting")
        asker, version, pick, look = self._client.client_id, self._version, self._pick, self._look()
        self._page.previews.ask(asker, lambda: self._put(version, "preview", lambda: self._studio.preview(pick, look)))
        self._page.objects.ask(asker, lambda: self._put(version, "ready", lambda: self._textured(pick, look)), REST)

    def _textured(self, pick: Pick, look: Look) -> Shown | None:
        """The object. It is not made again if only the display settings have changed."""
        made = self._made
        if made is None or made.pick is not pick or (made.grid, made.faces) != (look.grid, look.faces):
            made = self._made = _Made(pick, look.grid, look.faces, self._studio.textured(pick, look))
        return None if made.textured is None else shown(made.textured, look)

    def _put(self, version: int, state: str, make: Callable[[], Shown | None]) -> None:
        """Makes an object and shows it, unless there was another request meanwhile, or a better version is shown."""
        try:
            made = make()
        except InputError as error:
            with self._lock:
                if version == self._version:
                    self._say("not done")
                    self._client.add_notification("Not done", str(error), color="red")
            return
        with self._lock:
            if version != self._version or (state == "preview" and self._ready):
                return
            self._ready = state == "ready"
            if made is not None:
                draw(self._client.scene, made)
            self._say("no surface" if made is None else state)

    def _watched(self) -> Callable[[Pick], None]:
        """What shows objects that are not the window's own, until the user looks at another one."""
        with self._lock:
            version, look = self._version, self._look()

        def show(pick: Pick) -> None:
            made = self._studio.preview(pick, look)
            with self._lock:
                if version == self._version and made is not None:
                    draw(self._client.scene, made)

        return show

    def _say(self, state: str) -> None:
        self._state.value = f"{state}: {self._pick.title}"
