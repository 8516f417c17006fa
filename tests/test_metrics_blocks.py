import numpy as np
import pytest
import torch

from get3d.evaluation.resumable import digest, in_blocks, read_arrays, write_arrays
from get3d.files import InputError


class Rows:
    """Counts what is computed; can fail on the way."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.computed: list[tuple[int, int]] = []
        self.fail_at = fail_at

    def __call__(self, start: int, end: int) -> dict[str, np.ndarray]:
        if self.fail_at is not None and end > self.fail_at:
            raise KeyboardInterrupt
        self.computed.append((start, end))
        return {"square": np.arange(start, end) ** 2, "row": np.ones((end - start, 2))}


def test_blocks_are_joined_in_order(tmp_path):
    rows = Rows()
    found = in_blocks(tmp_path / "a" / "rows.npz", "k", 10, 4, rows)
    assert rows.computed == [(0, 4), (4, 8), (8, 10)]
    assert found["square"].tolist() == [i * i for i in range(10)]
    assert found["row"].shape == (10, 2)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["rows.npz"]


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "rows.npz"
    with pytest.raises(KeyboardInterrupt):
        in_blocks(path, "k", 10, 3, Rows(fail_at=7))
    again = Rows()
    found = in_blocks(path, "k", 10, 3, again)
    assert again.computed == [(6, 9), (9, 10)]
    assert found["square"].tolist() == [i * i for i in range(10)]
    done = Rows()
    assert in_blocks(path, "k", 10, 3, done)["square"].tolist() == found["square"].tolist()
    assert done.computed == []


def test_what_was_made_from_something_else_is_made_anew(tmp_path):
    path = tmp_path / "rows.npz"
    in_blocks(path, "k", 4, 2, Rows())
    other = Rows()
    in_blocks(path, "other", 4, 2, other)
    assert other.computed == [(0, 2), (2, 4)]


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not a zip", None])
def test_damaged_files_are_made_anew(tmp_path, damage):
    path = tmp_path / "rows.npz"
    in_blocks(path, "k", 4, 2, Rows())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    again = Rows()
    assert in_blocks(path, "k", 4, 2, again)["square"].tolist() == [0, 1, 4, 9]
    assert again.computed


def test_pickled_objects_are_neither_written_nor_read(tmp_path):
    path = tmp_path / "rows.npz"
    np.savez(path, key=np.array("k"), evil=np.array([object()], dtype=object), allow_pickle=True)
    assert read_arrays(path, "k") is None
    with pytest.raises(ValueError, match="allow_pickle"):
        write_arrays(path, "k", {"evil": np.array([object()], dtype=object)})


def test_a_folder_that_cannot_be_written_to_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        write_arrays(tmp_path / "file" / "rows.npz", "k", {"a": np.zeros(1)})


def test_digests_tell_values_types_and_shapes_apart():
    zeros = torch.zeros(4)
    parts = [zeros, zeros.double(), zeros.view(2, 2), zeros + 1, "text", {"a": 1}, {"a": 2}, None, 1, "1"]
    assert len({digest(part) for part in parts}) == len(parts)
    assert digest(zeros) == digest(zeros.numpy()) == digest(zeros.clone())
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
