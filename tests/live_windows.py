"""Windows of a live page without a browser: what viser calls is called by hand, so that its order can be chosen."""

from contextlib import nullcontext
from types import SimpleNamespace
from unittest.mock import MagicMock

import viser

from get3d.viewer.latest import Latest


class Control:
    """A control of a window."""

    def __init__(self, value=None, options=()):
        self.value, self.options = value, options
        self.disabled, self.visible, self.label = False, True, ""

    def use(self, value=None):
        """What viser does when a user has used it."""
        if value is not None:
            self.value = value
        self.act(SimpleNamespace(client="a browser"))

    def on_update(self, act):
        self.act = act


class Button(Control):
    def on_click(self, act):
        self.act = act


class Upload(Control):
    def send(self, name, content):
        """What viser does when a user has chosen a file."""
        self.value = viser.UploadedFile(name, content)
        self.act(SimpleNamespace(client="a browser"))

    def on_upload(self, act):
        self.act = act


class Gui(viser.GuiApi):
    """Controls by their names."""

    def __init__(self):
        self.controls = {}

    def __getitem__(self, name) -> Control:
        return self.controls[name]

    def _add(self, name, control):
        control.label = name
        # Of a folder and a button with the same name, the folder is no control.
        self.controls[name] = control
        return control

    def add_folder(self, name, **options):
        return nullcontext()

    def add_button(self, name, **options):
        return self._add(name, Button())

    def add_upload_button(self, name, **options):
        return self._add(name, Upload())

    def add_progress_bar(self, value, **options):
        return self._add("progress", Control(value))

    def add_button_group(self, name, choices, **options):
        return self._add(name, Button(options=choices))

    def add_text(self, name, value, **options):
        return self._add(name, Control(value))

    def add_checkbox(self, name, value, **options):
        return self._add(name, Control(value))

    def add_number(self, name, value, **options):
        return self._add(name, Control(value))

    def add_slider(self, name, low, high, step, value, **options):
        return self._add(name, Control(value))

    def add_dropdown(self, name, choices, **options):
        return self._add(name, Control(options.get("initial_value", choices[0]), choices))

    def add_image(self, image, label, **options):
        return self._add(label, Control())


def _scene():
    return MagicMock(spec=viser.SceneApi)


class Client(viser.ClientHandle):
    """A browser window."""

    def __init__(self, number):
        self.client_id, self.gui, self.scene, self.camera = number, Gui(), _scene(), MagicMock()
        self.camera.position, self.camera.image_width, self.camera.image_height = (0.0, 0.0, 1.0), 600, 400
        self.notes = []

    def atomic(self):
        return nullcontext()

    def add_notification(self, title, body, **options):
        self.notes.append((title, body))


class Server(viser.ViserServer):
    """A server whose windows are opened and closed by hand."""

    def __init__(self):
        self.clients, self.scene = {}, _scene()

    def on_client_connect(self, act):
        self.connected = act

    def on_client_disconnect(self, act):
        self.disconnected = act

    def get_clients(self):
        return dict(self.clients)

    def open(self) -> Client:
        client = Client(len(self.clients))
        self.clients[client.client_id] = client
        self.connected(client)
        return client

    def close(self, client):
        del self.clients[client.client_id]
        self.disconnected(client)


class Worker(Latest):
    """In place of `Latest`: does what was asked when it is told to."""

    def __init__(self, name):
        self.jobs = {}

    def ask(self, client, job, delay=0.0):
        self.jobs[client] = job

    def forget(self, client):
        self.jobs.pop(client, None)

    def work(self):
        while self.jobs:
            self.jobs.pop(next(iter(self.jobs)))()
