import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from get3d.arrays import read_npy, read_npz

ERRORS = (OSError, ValueError)


def _claiming(shape):
    """The head of an array of that shape, and 64 bytes of it."""
    head = str({"descr": "<f8", "fortran_order": False, "shape": shape}).ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + bytes(64)


def test_arrays_are_read_as_they_were_written(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array("text"), "c": np.zeros((0, 2), dtype=np.int32)}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    found = read_npz(tmp_path / "a.npz")
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())
    np.save(tmp_path / "a.npy", arrays["a"])
    assert np.array_equal(read_npy(tmp_path / "a.npy"), arrays["a"])


@pytest.mark.parametrize("shape", [(10**12,), (10**6, 10**6), (2**62,), (-1,)])
def test_a_head_that_claims_more_than_there_is_takes_no_memory(tmp_path, shape):
    (tmp_path / "a.npy").write_bytes(_claiming(shape))
    with pytest.raises(ERRORS):
        read_npy(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("a.npy", _claiming(shape))
    with pytest.raises(ERRORS):
        read_npz(tmp_path / "a.npz")


def test_a_file_that_unpacks_to_far_more_than_its_size_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as file, file.open("a.npy", "w") as member:
        member.write(_claiming((2**29 // 8,)))
        for _ in range(2**9):
            member.write(bytes(2**20))
    assert (tmp_path / "a.npz").stat().st_size < 2**20
    with pytest.raises(ValueError, match="unpacks to 5"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("content", [b"PK\x03\x04 no archive", b"", b"\x80\x04N.", b"\x93NUMPY", b"text"])
def test_other_files_are_refused_and_closed(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    np.savez(tmp_path / "b.npz", a=np.zeros(3))
    (tmp_path / "b.npz").rename(tmp_path / "b.npy")
    before = len(list(Path("/proc/self/fd").iterdir()))
    refused = []
    for name in ("a.npy", "b.npy"):
        with pytest.raises(ValueError, match="is damaged") as error:
            read_npy(tmp_path / name)
        refused.append(error)  # With the traceback, which would hold an open file.
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("place", [0, 4, 10, 20, -22, -12, -6])
def test_a_damaged_archive_is_one_error(tmp_path, place):
    np.savez(tmp_path / "a.npz", a=np.arange(6.0))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    for value in (0, 1, 255):
        content[place] = value
        (tmp_path / "a.npz").write_bytes(content)
        with suppress(OSError, ValueError):
            assert list(read_npz(tmp_path / "a.npz")) == ["a"]


def test_objects_are_never_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / "a.npz", a=np.array([{}]))
    with pytest.raises(ValueError, match=r"[Pp]ython objects|allow_pickle"):
        read_npy(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="allow_pickle"):
        read_npz(tmp_path / "a.npz")
