"""Compiled kernels have a folder, whatever of the machine can be written to."""

import os
import stat
import tempfile
import warnings
from pathlib import Path

import pytest

from get3d.files import InputError
from get3d.render import kernel_cache
from get3d.render.kernel_cache import VARIABLE, use_writable_cache


@pytest.fixture
def home(monkeypatch, tmp_path):
    """A file: a home in which no folder can be made, not even by root; and a folder for temporary files."""
    (tmp_path / "home").write_text("")
    (tmp_path / "temporary").mkdir()
    for name in (VARIABLE, "XDG_CACHE_HOME", "RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path


def _kept_in():
    """The folder that Warp is told, and what was said."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        use_writable_cache()
    return os.environ.get(VARIABLE), [str(one.message) for one in said]


def test_a_folder_that_can_be_written_to_is_left_alone(home, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    assert _kept_in() == (None, [])
    monkeypatch.setenv(VARIABLE, str(home / "mine"))
    assert _kept_in() == (str(home / "mine"), [])


def test_without_one_it_is_among_the_temporary_files_for_this_user_alone_and_said_once(home):
    folder, (message,) = _kept_in()
    assert folder == str(home / "temporary" / f"get3d-kernels-{os.getuid()}")
    assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700
    assert str(home / "home") in message
    assert folder in message
    assert VARIABLE in message
    assert _kept_in() == (folder, [])


def test_the_next_process_finds_it_again(home, monkeypatch):
    folder, _ = _kept_in()
    monkeypatch.delenv(VARIABLE)
    assert _kept_in()[0] == folder


def test_a_folder_that_others_can_write_to_is_not_trusted(home, monkeypatch):
    usual = home / "temporary" / f"get3d-kernels-{os.getuid()}"
    usual.mkdir()
    usual.chmod(0o777)
    assert _kept_in()[0] != str(usual)
    monkeypatch.delenv(VARIABLE)
    usual.rmdir()
    (home / "theirs").mkdir()
    usual.symlink_to(home / "theirs")
    assert _kept_in()[0] != str(usual)


def test_of_processes_that_work_together_one_says_it(home, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    folder, said = _kept_in()
    assert folder
    assert said == []


def test_without_any_folder_the_variable_is_named(home, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(home / "home"))
    with pytest.raises(InputError, match=kernel_cache.VARIABLE):
        use_writable_cache()
