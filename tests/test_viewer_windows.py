"""Controls of the live page that are used at the same time, and windows that open and close meanwhile."""

import json
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import tiny
from get3d.datasets.index import read
from get3d.files import InputError, read_json
from get3d.generation.config import Settings
from get3d.viewer import data_page, model_page
from get3d.viewer.data_page import DataPage
from get3d.viewer.model_page import ModelPage
from get3d.viewer.studio import Neighbours, Studio
from live_windows import Client, Server, Worker

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.write_model(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture
def live(model, tmp_path, monkeypatch):
    return _live(model, tmp_path / "out", monkeypatch)


def _live(model, out, monkeypatch):
    monkeypatch.setattr(model_page, "Latest", Worker)
    server = Server()
    studio = Studio(Settings(model, out=out, faces=60, texture=16, device="cpu"))
    return SimpleNamespace(server=server, studio=studio, page=ModelPage(server, studio), out=out)


def _rest(live):
    live.page.previews.work()
    live.page.objects.work()


class _Held:
    """A function that waits, once it has begun, until it is let go."""

    def __init__(self, function):
        self.function, self.began, self.go, self.calls = function, threading.Event(), threading.Event(), 0

    def __call__(self, *args, **options):
        self.calls += 1
        self.began.set()
        assert self.go.wait(60)
        return self.function(*args, **options)


def _meanwhile(control, held):
    """Uses a control in a thread of its own until it waits."""
    thread = threading.Thread(target=control.use)
    thread.start()
    assert held.began.wait(60)
    return thread


def _finish(thread, held):
    held.go.set()
    thread.join(60)
    assert not thread.is_alive()


def test_save_that_is_pressed_twice_saves_once(live, monkeypatch):
    client = live.server.open()
    save = client.gui["Save"]
    held = _Held(live.studio.save)
    monkeypatch.setattr(live.studio, "save", held)
    thread = _meanwhile(save, held)
    assert (save.label, save.disabled) == ("Saving …", True)
    save.use()
    assert held.calls == 1
    _finish(thread, held)
    assert (save.label, save.disabled) == ("Save", False)
    assert [entry["name"] for entry in read_json(live.out / "shapes.json")["shapes"]] == ["object-1"]
    save.use()
    assert (live.out / "object-2.glb").is_file()
    assert [title for title, _ in client.notes] == ["Saved", "Saved"]


def test_what_is_saved_is_what_was_shown_when_save_was_pressed(live, monkeypatch):
    client = live.server.open()
    shown = live.studio.pick(0, 0, 0.7)
    held = _Held(live.studio.save)
    monkeypatch.setattr(live.studio, "save", held)
    thread = _meanwhile(client.gui["Save"], held)
    # Meanwhile another object comes, it becomes ready, and its name is typed.
    client.gui["Geometry seed"].use(5)
    _rest(live)
    client.gui["Name"].value = "my chair"
    _finish(thread, held)
    assert client.gui["State"].value == "ready: geometry 5, texture 0, ψ 0.7"
    assert client.gui["Name"].value == "my chair"
    live.studio.save(shown, "expected")
    assert (live.out / "object-1.glb").read_bytes() == (live.out / "expected.glb").read_bytes()


def test_windows_that_save_at_once_take_other_numbers_and_typed_names_only_once(live):
    clients = [live.server.open() for _ in range(3)]
    assert [client.gui["Name"].value for client in clients] == ["object-1"] * 3
    _at_once([client.gui["Save"] for client in clients])
    shapes = read_json(live.out / "shapes.json")["shapes"]
    assert sorted(entry["file"] for entry in shapes) == ["object-1.glb", "object-2.glb", "object-3.glb"]
    assert live.server.open().gui["Name"].value == "object-4"
    for client in clients:
        client.gui["Name"].value = "mine"
    _at_once([client.gui["Save"] for client in clients])
    assert [entry["name"] for entry in read_json(live.out / "shapes.json")["shapes"]].count("mine") == 1
    refused = [body for client in clients for title, body in client.notes if title == "Not done"]
    assert len(refused) == 2
    assert all("'mine' is there already; choose another name" in body for body in refused)


def _at_once(controls):
    barrier = threading.Barrier(len(controls))
    threads = [threading.Thread(target=lambda each=each: (barrier.wait(60), each.use())) for each in controls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def test_variations_are_those_of_the_image_above_them(live, monkeypatch):
    client = live.server.open()
    more, take = client.gui["More like this"], client.gui["Take"]
    picks = {draw: [live.studio.pick(10 * draw, number, 0.7) for number in range(8)] for draw in (1, 2)}

    def neighbours(pick, strength, draw):
        return Neighbours(picks[draw], np.full((1, 1, 3), draw, np.uint8))

    held = _Held(neighbours)
    monkeypatch.setattr(live.studio, "neighbours", held)
    thread = _meanwhile(more, held)
    assert more.label == "Making eight …"
    more.use()
    _finish(thread, held)
    assert client.gui["Take one"].image.max() == 1
    take.use("3")
    assert client.gui["State"].value == "waiting: geometry 10, texture 2, ψ 0.7"
    # Taken once more, it is no change.
    take.use("3")
    client.gui["Undo"].use()
    assert client.gui["State"].value == "waiting: geometry 0, texture 0, ψ 0.7"
    assert client.gui["Undo"].disabled
    more.use()
    assert client.gui["Take one"].image.max() == 2
    take.use("3")
    assert client.gui["State"].value == "waiting: geometry 20, texture 2, ψ 0.7"


def test_an_object_is_kept_once(live):
    client = live.server.open()
    _at_once([client.gui["Keep this one"]] * 2)
    assert client.gui["First"].options == ["1: geometry 0, texture 0, ψ 0.7"]
    client.gui["Texture seed"].use(3)
    client.gui["Keep this one"].use()
    assert client.gui["Second"].options == ["1: geometry 0, texture 0, ψ 0.7", "2: geometry 0, texture 3, ψ 0.7"]
    assert [client.gui[name].value[0] for name in ("First", "Second")] == ["1", "2"]


def test_sliders_of_one_window_that_are_used_at_once_all_count(live):
    client = live.server.open()
    for name, value in (("Geometry seed", 4), ("Texture seed", 5), ("ψ", 0.9)):
        client.gui[name].value = value
    _at_once([client.gui[name] for name in ("Geometry seed", "Texture seed", "ψ")])
    assert client.gui["State"].value == "waiting: geometry 4, texture 5, ψ 0.9"
    _rest(live)
    assert client.gui["State"].value == "ready: geometry 4, texture 5, ψ 0.9"


def test_a_drag_is_one_step_of_the_history(live):
    client = live.server.open()
    _rest(live)
    for psi in (0.8, 0.9, 1.0):
        client.gui["ψ"].use(psi)
        live.page.previews.work()
    client.gui["geometry 1"].use(1.0)
    client.gui["geometry 1"].use(2.0)
    _rest(live)
    # From where it rested, the same slider starts a new step.
    client.gui["geometry 1"].use(3.0)
    _rest(live)
    values = []
    while not client.gui["Undo"].disabled:
        client.gui["Undo"].use()
        values.append((client.gui["ψ"].value, client.gui["geometry 1"].value))
    assert values == [(1.0, 2.0), (1.0, 0.0), (0.7, 0.0)]
    while not client.gui["Redo"].disabled:
        client.gui["Redo"].use()
    assert (client.gui["ψ"].value, client.gui["geometry 1"].value) == (1.0, 3.0)


def test_the_history_ends_at_its_length(live, monkeypatch):
    monkeypatch.setattr(model_page, "_STEPS", 3)
    client = live.server.open()
    for seed in range(1, 7):
        client.gui["Geometry seed"].use(seed)
        _rest(live)
    for _ in range(10):
        client.gui["Undo"].use()
    assert client.gui["Geometry seed"].value == 3


def test_names_of_directions_are_those_of_all_windows(tmp_path, monkeypatch):
    model = tiny.write_model(tmp_path / "model.safetensors")
    live = _live(model, tmp_path / "out", monkeypatch)
    clients = [live.server.open() for _ in range(2)]
    for client, old, new in zip(clients, ("geometry 1", "texture 1"), ("width", "tint"), strict=True):
        client.gui["Direction"].value = old
        client.gui["Call it"].value = new
    _at_once([client.gui["Rename"] for client in clients])
    for client in [*clients, live.server.open()]:
        assert client.gui["Direction"].options[:5] == ["width", "geometry 2", "geometry 3", "geometry 4", "tint"]
    for client, name in zip(clients, ("width", "tint"), strict=True):
        assert client.gui["Direction"].value == name
        assert client.gui["geometry 1"].label == "width"
        assert client.notes == []
    stored = [entry["name"] for entry in read_json(tmp_path / "directions.json")["directions"]]
    assert stored == live.studio.names
    # Chosen in a browser before it heard of the new name.
    clients[0].gui["Direction"].value = "geometry 1"
    clients[0].gui["Rename"].use()
    ((title, body),) = clients[0].notes
    assert (title, body) == ("Not done", "no direction is called 'geometry 1' any more; choose one again")


def test_a_window_that_is_closed_before_it_is_made_asks_for_nothing(live):
    client = Client(7)
    live.server.disconnected(client)
    live.server.connected(client)
    assert not live.page.previews.jobs and not live.page.objects.jobs
    # A control that was still being used then.
    client.gui["Geometry seed"].use(3)
    assert not live.page.previews.jobs and not live.page.objects.jobs


def test_a_window_that_is_closed_while_its_object_is_made_is_sent_nothing(live, monkeypatch):
    client, other = live.server.open(), live.server.open()
    textured = live.studio.textured

    def closing(pick, look):
        if client.client_id in live.server.clients:
            live.server.close(client)
        return textured(pick, look)

    monkeypatch.setattr(live.studio, "textured", closing)
    live.page.objects.work()
    assert not client.scene.add_glb.called
    assert other.scene.add_glb.called
    assert other.gui["State"].value == "ready: geometry 0, texture 0, ψ 0.7"


def test_an_object_that_cannot_be_made_is_said(live, monkeypatch):
    client = live.server.open()

    def textured(pick, look):
        raise InputError("--grid is 900: too much")

    monkeypatch.setattr(live.studio, "textured", textured)
    _rest(live)
    assert client.gui["State"].value == "not done: geometry 0, texture 0, ψ 0.7"
    assert client.notes == [("Not done", "--grid is 900: too much")]


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    path = tmp_path_factory.mktemp("classes") / "model.safetensors"
    return tiny.write_model(path, replace(tiny.GENERATOR, classes=("cup", "jug")))


def test_the_class_is_chosen_saved_and_undone(classes, tmp_path, monkeypatch):
    live = _live(classes, tmp_path / "out", monkeypatch)
    client = live.server.open()
    assert (client.gui["Class"].value, client.gui["Class"].options) == ("cup", ("cup", "jug"))
    _rest(live)
    client.gui["Geometry seed"].use(4)
    _rest(live)
    client.gui["Class"].use("jug")
    _rest(live)
    client.gui["Save"].use()
    live.studio.save(live.studio.pick(4, 0, 0.7, "jug"), "jug")
    live.studio.save(live.studio.pick(4, 0, 0.7, "cup"), "cup")
    contents = {name: (live.out / f"{name}.glb").read_bytes() for name in ("object-1", "jug", "cup")}
    assert contents["object-1"] == contents["jug"] != contents["cup"]
    client.gui["Undo"].use()
    assert client.gui["Class"].value == "cup"
    # A texture of another seed does not bring the other class back.
    client.gui["Texture seed"].use(6)
    client.gui["Save"].use()
    live.studio.save(live.studio.pick(4, 6, 0.7, "cup"), "again")
    assert (live.out / "object-2.glb").read_bytes() == (live.out / "again.glb").read_bytes()


def test_a_shapes_json_of_others_is_refused_before_the_page_opens(model, tmp_path, monkeypatch):
    for shapes in ("text", ["text"], [{}]):
        (tmp_path / "shapes.json").write_text(json.dumps({"format": 1, "shapes": shapes}))
        with pytest.raises(InputError, match="its `shapes` is not a list of shapes"):
            _live(model, tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def listing(tmp_path_factory):
    return read(tiny.write_dataset(tmp_path_factory.mktemp("data") / "data"))


def test_problems_are_looked_for_once_and_told_to_all_windows(listing, monkeypatch):
    server = Server()
    held = _Held(lambda report, listing: {"with an error": np.array([2])})
    monkeypatch.setattr(data_page, "objects_by_problem", held)
    DataPage(server, listing)
    clients = [server.open(), server.open()]
    find = clients[0].gui["Find problems"]
    thread = _meanwhile(find, held)
    assert find.label == "Reading all images …"
    find.use()
    # It is opened meanwhile, so it hears of them as the others do.
    clients.append(server.open())
    server.close(clients[1])
    _finish(thread, held)
    clients.append(server.open())
    assert held.calls == 1
    for client in (clients[0], *clients[2:]):
        assert client.gui["Problem"].options == ["with or without", "with an error (1)"]
        assert client.gui["Find problems"].label == "Problems are found"
        assert client.gui["Find problems"].disabled
        client.gui["Problem"].use("with an error (1)")
        assert client.gui["Object"].value.startswith("002 (1 of 1)")
    assert len(clients[1].gui["Problem"].options) == 1


def test_a_dataset_that_is_gone_is_said_and_can_be_checked_again(listing, monkeypatch):
    server = Server()
    DataPage(server, listing)

    def gone(root):
        raise InputError(f"{root}: is gone")

    monkeypatch.setattr(data_page, "check", gone)
    client = server.open()
    find = client.gui["Find problems"]
    find.use()
    assert client.notes == [("Not done", f"{listing.root}: is gone")]
    assert (find.label, find.disabled) == ("Find problems", False)
    monkeypatch.setattr(data_page, "check", lambda root: None)
    monkeypatch.setattr(data_page, "objects_by_problem", lambda report, listing: {})
    find.use()
    assert find.label == "No problem is found"
