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
from get3d.viewer.camera import look_as_in_training
from get3d.viewer.lamps import LIGHTS, Lamps
from get3d.viewer.latest import Latest
from get3d.viewer.look import Look, Shown, shown, views_of
from get3d.viewer.studio import NEIGHBOURS, Pick, Studio

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
    """The windows of a model, and two worker threads, so that previews never wait for textures."""

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


@dataclass(frozen=True)
class _Made:
    pick: Pick
    grid: int
    faces: int | None
    textured: TexturedMesh | None


class Window:
    """One browser window.

    The server calls what a control does in a thread of its own, and may do so before the control before it is done.
    So what is shown is changed under a lock, from what is then shown, and a control is written only where that changes
    what it stands for: the user may be using another one.
    """

    def __init__(self, client: viser.ClientHandle, page: ModelPage) -> None:
        self._client, self._page, self._studio = client, page, page.studio
        self._kept: dict[str, Pick] = {}
        self._near: list[Pick] = []
        self._draws = 0
        self._past: list[Pick] = []
        self._future: list[Pick] = []
        self._version = 0
        self._ready = False
        self._made: _Made | None = None
        self._lamps = Lamps(client.scene)
        self._lock = threading.Lock()
        with self._lock:
            self._build(client.gui)
            look_as_in_training(client, self._studio.generator.config.cameras)
            self._pick = self._from_sliders()
            self._show()

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
        with gui.add_folder("Directions", expand_by_default=False):
            self._build_directions(gui)
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
            self._build_view(gui)

    def _build_directions(self, gui: viser.GuiApi) -> None:
        directions = self._studio.directions
        self._steps = [
            gui.add_slider(direction.name, -3.0, 3.0, 0.1, 0.0, hint="In standard deviations")
            for direction in directions
        ]
        for slider in self._steps:
            self._on(slider, self._moved)
        self._direction = gui.add_dropdown("Direction", [direction.name for direction in directions])
        self._called = gui.add_text("Call it", "")
        self._on(gui.add_button("Rename"), self._rename)

    def _build_view(self, gui: viser.GuiApi) -> None:
        studio, look = self._studio, self._studio.look
        self._views = views_of(studio.generator.config.channels)
        self._view = gui.add_dropdown("Show", list(self._views.values()))
        self._wireframe = gui.add_checkbox("Wireframe", False)
        self._light = gui.add_dropdown("Light", LIGHTS)
        self._turn = gui.add_slider("Light turned", 0, 360, 5, 0, hint="In degrees")
        self._brightness = gui.add_slider("Brightness", 0.0, 3.0, 0.1, 1.0)
        self._grid = gui.add_slider("Grid", 8, max(FINEST, look.grid), 1, look.grid, hint="Finer: more detail, slower")
        self._faces = gui.add_number(
            "Triangles", look.faces or 0, min=0, max=10_000_000, step=1000, hint="At most; 0 keeps all"
        )
        for control in (self._view, self._wireframe, self._grid, self._faces):
            self._on(control, self._redraw)
        for control in (self._light, self._turn, self._brightness):
            self._on(control, self._relight)
        camera = gui.add_button("Camera as in training")
        self._on(camera, partial(look_as_in_training, self._client, studio.generator.config.cameras))

    def _look(self) -> Look:
        """The settings of the view controls."""
        view = next(name for name, title in self._views.items() if title == self._view.value)
        # Fewer than four triangles close no surface.
        faces = max(4, int(self._faces.value)) if self._faces.value else None
        return Look(int(self._grid.value), faces, view, self._wireframe.value)

    def _on(self, handle: Any, act: Callable[[], None]) -> None:
        """Calls a function when a user, not this program, has used a control."""

        def used(event: Any) -> None:
            if event.client is None:
                return
            try:
                act()
            except (InputError, ValueError) as error:
                self._client.add_notification("Not done", str(error), color="red")

        (handle.on_click if hasattr(handle, "on_click") else handle.on_update)(used)

    # Requests

    def _drawn(self, geometry_seed: int, texture_seed: int) -> Pick:
        label = self._label.value if self._label else None
        return self._studio.pick(geometry_seed, texture_seed, self._psi.value, label)

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

        self._change(edit)

    def _redraw(self) -> None:
        with self._lock:
            self._show()

    def _relight(self) -> None:
        self._lamps.set(self._light.value, float(self._turn.value), float(self._brightness.value))

    def _moved(self) -> None:
        self._change(lambda old: replace(old, steps=tuple(float(slider.value) for slider in self._steps)))

    def _rename(self) -> None:
        names = [direction.name for direction in self._studio.directions]
        number = names.index(self._direction.value)
        self._studio.rename(number, self._called.value)
        names = [direction.name for direction in self._studio.directions]
        self._steps[number].label = names[number]
        self._direction.options = names
        self._direction.value = names[number]

    def _random(self) -> None:
        seed = int(np.random.default_rng().integers(SEEDS + 1))
        self._change(lambda _: self._drawn(seed, seed))

    def _more(self) -> None:
        self._draws += 1
        found = self._studio.neighbours(self._pick, self._strength.value, self._draws)
        self._near = found.picks
        self._image.image = found.image
        self._image.visible = self._take.visible = True

    def _take_one(self) -> None:
        pick = self._near[int(self._take.value) - 1]
        self._change(lambda _: pick)

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
        self._change(lambda _: self._studio.mixed(*self._chosen()))

    def _go_between(self) -> None:
        self._change(lambda _: self._studio.between(*self._chosen(), self._share.value))

    def _step(self, *, forward: bool) -> None:
        with self._lock:
            here, there = (self._past, self._future) if forward else (self._future, self._past)
            if there:
                here.append(self._pick)
                self._set(there.pop())

    def _save(self) -> None:
        settings, name, look = self._studio.settings, self._name.value, self._look()
        version, state = self._version, self._state.value
        self._say("saving")
        try:
            entry = self._studio.save(self._pick, name, look)
        finally:
            with self._lock:
                if version == self._version:
                    self._state.value = state
        options = {
            "--faces": look.faces,
            "--texture": settings.texture,
            "--small-components": settings.small_components,
        }
        words = ["get3d", "generate", settings.model, "--latents", str(settings.out / MANIFEST)]
        words += [str(word) for option in options.items() for word in option]
        self._saved.value, self._saved.visible = shlex.join(words), True
        self._client.add_notification("Saved", str(settings.out / entry["file"]), color="green")
        self._name.value = _next(name)

    # Display

    def _change(self, edit: Callable[[Pick], Pick]) -> None:
        """Shows what a function makes of the object that is shown."""
        with self._lock:
            pick = edit(self._pick)
            self._past, self._future = [*self._past[-_STEPS:], self._pick], []
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
        self._undo.disabled, self._redo.disabled = not self._past, not self._future
        self._show()

    def _show(self) -> None:
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
            self._client.add_notification("Not done", str(error), color="red")
            return
        with self._lock:
            if version != self._version or (state == "preview" and self._ready):
                return
            self._ready = state == "ready"
            self._draw(made)
            self._say("no surface" if made is None else state)

    def _draw(self, made: Shown | None) -> None:
        if made is None:
            return
        scene = self._client.scene
        scene.add_glb("/object", made.glb)
        edges = np.zeros((1, 2, 3), np.float32) if made.edges is None else made.edges
        scene.add_line_segments(
            "/edges", edges, (40, 40, 40), thickness=1.0, thickness_units="screen", visible=made.edges is not None
        )

    def _say(self, state: str) -> None:
        self._state.value = f"{state}: {self._pick.title}"


def _next(name: str) -> str:
    """The name with the next number at its end."""
    stem = name.rstrip("0123456789")
    return f"{stem}{int(name[len(stem) :] or 1) + 1}" if stem != name else f"{name}-2"
