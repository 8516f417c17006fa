"""The light of a page: the built-in renderer's studio, approximated by a browser's lamps, or a panorama."""

import math
import threading

import torch
import viser

from get3d.color import linear_to_srgb, unit_to_bytes
from get3d.render.lights import STUDIO

__all__ = ["Lamps"]

LAMPS = "lamps"
PANORAMAS = ("apartment", "city", "dawn", "forest", "lobby", "night", "park", "studio", "sunset", "warehouse")
"""Panoramas of viser. Metal reflects them; with lamps only, it is dark."""
LIGHTS = (LAMPS, *PANORAMAS)
_GROUND = int(unit_to_bytes(linear_to_srgb(torch.tensor(STUDIO.ground / STUDIO.sky))))
"""Colours of lamps are sRGB."""


class Lamps:
    """The light of a scene.

    The lamps are a key light, and light from sky and ground. A white matte surface looks as under `STUDIO`, except that
    the key light ends at the terminator.
    """

    def __init__(self, scene: viser.SceneApi, light: str = LAMPS) -> None:
        self._scene, self._light, self._lock = scene, light, threading.Lock()
        scene.configure_default_lights(False)
        self._key = scene.add_light_directional("/lamps/key")
        self._sky = scene.add_light_hemisphere(
            "/lamps/sky", ground_color=(_GROUND, _GROUND, _GROUND), position=(0.0, 1.0, 0.0)
        )
        self.set(light, 0.0, 1.0)

    def add_controls(self, gui: viser.GuiApi) -> None:
        """Adds controls with which users change the light."""
        light = gui.add_dropdown("Light", LIGHTS, initial_value=self._light)
        turn = gui.add_slider("Light turned", 0, 360, 5, 0, hint="In degrees")
        brightness = gui.add_slider("Brightness", 0.0, 3.0, 0.1, 1.0)

        def changed(_: object) -> None:
            # The server calls this in threads of its own; the last one sets what all controls then say.
            with self._lock:
                self.set(light.value, float(turn.value), float(brightness.value))

        light.on_update(changed)
        turn.on_update(changed)
        brightness.on_update(changed)

    def set(self, light: str, turn: float, strength: float) -> None:
        """Changes the light.

        Args:
            light: one of `LIGHTS`.
            turn: angle about +Y in degrees.
            strength: factor on the light of `STUDIO` or the panorama.
        """
        x, y, z = STUDIO.key_direction
        angle = math.radians(turn)
        lamps = strength if light == LAMPS else 0.0
        self._key.position = (math.cos(angle) * x + math.sin(angle) * z, y, math.cos(angle) * z - math.sin(angle) * x)
        # A browser's lamp of strength pi makes a white matte surface that faces it white.
        self._key.intensity = math.pi * STUDIO.key * lamps
        self._sky.intensity = math.pi * STUDIO.sky * lamps
        self._scene.configure_environment_map(
            None if light == LAMPS else light,
            environment_intensity=strength,
            environment_wxyz=(math.cos(angle / 2), 0.0, math.sin(angle / 2), 0.0),
        )
