import pickle
import re
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from get3d.files import InputError, make_name, require_name, require_names

ODD = st.text(st.sampled_from("/\\.:a é\n\r\t\0~-\x7f😀\udc80"), max_size=30)
ANY = ODD | st.text(max_size=300)


def stays_inside(name):
    """By pathlib, on POSIX and on Windows: appended to a folder, every part goes down, none up, and nothing else."""
    root = PurePosixPath("/root/set")
    posix, windows = root / name, PureWindowsPath("C:/root/set") / name
    assert posix.parts[: len(root.parts)] == root.parts
    down = posix.parts[len(root.parts) :]
    assert "/".join(down) == name
    assert windows.parts[3:] == down or ":" in name
    return bool(down) and ".." not in down and "\0" not in name


@given(ANY)
def test_a_name_that_passes_stays_inside_and_has_no_control_characters(name):
    try:
        require_names([name], "list.txt")
    except InputError as error:
        assert str(error).startswith("list.txt: ")
        return
    assert stays_inside(name)
    assert not re.search(r"[\x00-\x1f\x7f]", name)
    assert all(len(part.encode("utf-8", "surrogatepass")) <= 200 for part in name.split("/"))


@given(ANY)
def test_made_names_pass_and_are_made_once(text):
    name = make_name(text)
    assert require_name(name, "x") == name
    assert make_name(name) == name or re.match("[A-Za-z]:", name)


@given(st.lists(ODD, min_size=1, max_size=5))
def test_many_names_pass_where_each_does(names):
    def passes(some):
        try:
            require_names(some, "x")
        except InputError:
            return False
        return True

    assert passes(names) == all(passes([name]) for name in names)


@pytest.mark.parametrize("name", ["a", "02691156/1a2b.c", "chair one/000.png", "..a/b..", "a.", "stül", "\udc80x", "…"])
def test_ordinary_names_pass_and_are_kept(name):
    assert require_name(name, "x") == make_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "/a", "a/", "a//b", "../x", "a/../b", "./a", "a\\b", "a\0", "a\nb"])
def test_names_that_lead_elsewhere_are_refused(name):
    with pytest.raises(InputError, match=r"^--object: .* cannot be a name; give a relative one"):
        require_name(name, "--object")


def test_paths_become_names():
    assert make_name("/home/me/models/chair.glb") == "home/me/models/chair.glb"
    assert make_name("C:\\models\\..\\chair.glb") == "models/chair.glb"
    assert make_name("../..") == "unnamed"
    long = make_name("a/" + "é" * 150)
    assert len(long.encode()) <= 202
    assert long != make_name("a/" + "é" * 151)


@pytest.mark.parametrize("control", ["\n", "\r\n", "\x0b", "\x1b[31m", "\x85", "\u2028", "\0"])
def test_an_error_is_one_line_whatever_is_named_in_it(control):
    said = str(InputError(f"a.json: k1 is a{control}b — é; undistort the images"))
    assert len(said.splitlines()) == 1
    assert said.isprintable()
    assert said.startswith("a.json: k1 is a\\")
    assert said.endswith("b — é; undistort the images")
    assert str(pickle.loads(pickle.dumps(InputError(said)))) == said
