import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from get3d import locks
from get3d.files import InputError
from get3d.locks import LOCK, lock_folder

HOLD = "import sys, time; from pathlib import Path; from get3d.locks import lock_folder\n"
HOLD += "lock_folder(Path(sys.argv[1]), take_over=False); print('held', flush=True); time.sleep(60)"


@pytest.fixture
def other(tmp_path):
    """A process that holds the lock of the folder."""
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def _left_by(folder, **changes):
    holder = {"host": socket.gethostname(), "pid": os.getpid(), "started": 1.0, "since": "then"} | changes
    (folder / LOCK).write_text(json.dumps(holder))


def test_a_lock_is_had_once_and_gone_when_released(tmp_path):
    lock = lock_folder(tmp_path, take_over=False)
    said = json.loads((tmp_path / LOCK).read_text())
    assert (said["host"], said["pid"]) == (socket.gethostname(), os.getpid())
    for take_over in (False, True):
        with pytest.raises(InputError, match=f"is in use by process {os.getpid()} on {socket.gethostname()} since"):
            lock_folder(tmp_path, take_over=take_over)
    lock.release()
    assert list(tmp_path.iterdir()) == []
    lock_folder(tmp_path, take_over=False).release()


def test_another_process_keeps_its_lock_until_it_dies(tmp_path, other):
    for take_over in (False, True):
        with pytest.raises(InputError, match=f"in use by process {other.pid} on .*; wait until it ends"):
            lock_folder(tmp_path, take_over=take_over)
    other.send_signal(signal.SIGKILL)
    other.wait()
    lock = lock_folder(tmp_path, take_over=False)
    assert lock.taken_from.startswith(f"process {other.pid} on ")
    lock.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [{"pid": 2**30}, {"host": "elsewhere", "pid": 1}])
def test_a_process_that_cannot_be_seen_from_here_keeps_its_lock_by_that_of_the_system(tmp_path, other, content):
    """As of another container: the number of its process means nothing here, its lock does."""
    _left_by(tmp_path, **content)
    for take_over in (False, True):
        with pytest.raises(InputError, match=f"in use by process {content['pid']} on .*; wait until it ends"):
            lock_folder(tmp_path, take_over=take_over)


def test_where_the_file_system_knows_no_locks_a_living_process_of_this_machine_keeps_its(tmp_path, monkeypatch):
    """As on some shared file systems: the number of the process and when it was started decide."""

    def unsupported(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(locks.fcntl, "flock", unsupported)
    lock_folder(tmp_path, take_over=False)
    with pytest.raises(InputError, match="is in use by"):
        lock_folder(tmp_path, take_over=True)
    # The same number, but another process: this one's was started later.
    _left_by(tmp_path, started=psutil.Process().create_time() - 1000)
    assert "since then" in lock_folder(tmp_path, take_over=False).taken_from


def test_where_there_are_no_hard_links_a_lock_is_had_once_as_well(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(locks.os, "link", unsupported)
    lock = lock_folder(tmp_path, take_over=False)
    with pytest.raises(InputError, match="is in use by"):
        lock_folder(tmp_path, take_over=False)
    lock.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", [None, "", "[" * 9999, '{"host": "x"}', "\0\xff"])
def test_a_lock_of_another_machine_or_a_damaged_one_needs_the_option(tmp_path, text):
    if text is None:
        _left_by(tmp_path, host="elsewhere", pid=7)
    else:
        (tmp_path / LOCK).write_text(text)
    match = "left by process 7 on elsewhere since then" if text is None else "is damaged"
    with pytest.raises(InputError, match=rf"{match}.*repeat with --take-over"):
        lock_folder(tmp_path, take_over=False)
    lock = lock_folder(tmp_path, take_over=True)
    assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    lock.release()


def test_a_lock_that_was_taken_over_is_not_released_by_the_one_who_lost_it(tmp_path):
    lock = lock_folder(tmp_path, take_over=False)
    (tmp_path / LOCK).unlink()  # As another machine does.
    new = lock_folder(tmp_path, take_over=False)
    lock.release()
    assert (tmp_path / LOCK).exists()
    new.release()


def test_of_many_processes_that_begin_at_once_one_has_the_lock(tmp_path):
    code = "import sys, time; from pathlib import Path; from get3d.locks import lock_folder\n"
    code += "time.sleep(max(0, float(sys.argv[2]) - time.time()))\n"
    code += "lock_folder(Path(sys.argv[1]), take_over=False); print('held', flush=True); time.sleep(3)"
    start = str(time.time() + 4)
    many = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path, start], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    said = [process.communicate()[0] for process in many]
    assert sorted(said) == [b"", b"", b"", b"held\n"]


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        lock_folder(Path("/proc/self"), take_over=False)
