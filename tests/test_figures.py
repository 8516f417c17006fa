"""The figure of the house is that of today's imports."""

import runpy
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def figures():
    return runpy.run_path(str(ROOT / "docs" / "figures.py"))


def test_the_committed_figure_is_what_the_imports_give(figures):
    package = ROOT / "src" / "get3d"
    drawn = figures["house"](figures["rooms"](), figures["imports"](package), figures["purposes"](package))
    assert (ROOT / "docs" / "images" / "house.svg").read_text() == drawn, "run python docs/figures.py"


def test_every_room_of_the_package_is_in_the_contract(figures):
    package = ROOT / "src" / "get3d"
    named = {room for layer in figures["rooms"]() for room in layer}
    there = {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    assert there - {"__init__", "__main__"} == named


def test_no_room_and_no_module_is_large():
    package = ROOT / "src" / "get3d"
    lines = {path.relative_to(package): len(path.read_text().splitlines()) for path in package.rglob("*.py")}
    assert max(lines.values()) <= 400
    rooms = Counter()
    for path, count in lines.items():
        rooms[path.parts[0]] += count
    assert rooms.most_common(1)[0][1] <= rooms.total() / 6, rooms.most_common(3)


def test_imports_of_every_form_are_seen(figures, tmp_path):
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "a.py").write_text(
        "from get3d import one\nfrom get3d.two.part import x\nimport get3d.three.part\nimport os\n\n\n"
        "def late():\n    from get3d.four import y\n    return y\n"
    )
    (tmp_path / "single.py").write_text("from get3d.room.a import late\n")
    assert figures["imports"](tmp_path) == {"room": {"one", "two", "three", "four"}, "single": {"room"}}
