import errno
import json

import pytest
import torch

from get3d.files import InputError, contained, read_json, require_writable, write_json, writing
from get3d.storage import load_tensors, read_description, save_tensors, with_prefix, without_prefix

TENSORS = {
    "a.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "a.step": torch.tensor(7),
    "b.half": torch.ones(3, dtype=torch.bfloat16),
    "b.empty": torch.zeros(0, 4),
}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    save_tensors(path, TENSORS, {"kind": "test", "values": [1, 2.5]})
    return path


def test_round_trip_is_exact(saved):
    stored = load_tensors(saved)
    assert stored.description == {"kind": "test", "values": [1, 2.5]}
    assert stored.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert stored.tensors[name].dtype == tensor.dtype
        assert torch.equal(stored.tensors[name], tensor)


def test_part_of_a_file(saved):
    assert load_tensors(saved, prefix="b.").tensors.keys() == {"b.half", "b.empty"}
    assert read_description(saved)["kind"] == "test"


def test_prefixes_undo_each_other():
    assert without_prefix("x.", with_prefix("x.", TENSORS) | {"y": torch.ones(1)}) == TENSORS


@pytest.mark.parametrize("keep", [0, 4, 60, -1])
def test_a_file_cut_short_is_named(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"model\.safetensors.*use another copy"):
        load_tensors(saved)


def test_one_changed_bit_is_noticed(saved):
    content = bytearray(saved.read_bytes())
    content[-9] ^= 1
    saved.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        load_tensors(saved)


def test_another_programs_file_is_refused(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    save_file({"x": torch.ones(2)}, path)
    with pytest.raises(InputError, match="not written by get3d"):
        load_tensors(path)
    with pytest.raises(InputError, match="no such file"):
        load_tensors(tmp_path / "none.safetensors")


def test_a_full_disk_leaves_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("get3d.storage.save_file", full)
    with pytest.raises(InputError, match="No space left"):
        save_tensors(saved, TENSORS, {})
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


def test_writing_is_all_or_nothing(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with pytest.raises(RuntimeError), writing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(path.parent.iterdir()) == []
    write_json(path, {"x": 1})
    assert json.loads(path.read_text()) == read_json(path) == {"x": 1}
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def test_what_cannot_be_removed_does_not_hide_why_nothing_was_written(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(InputError, match=r"a\.txt: not written \(Is a directory\)"), writing(path) as temporary:
        temporary.unlink()
        temporary.mkdir()


def _umask():
    import os

    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_json_that_is_none(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{")
    with pytest.raises(InputError, match=r"a\.json"):
        read_json(path)


def test_paths_stay_inside(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to("/etc")
    assert contained(tmp_path / "in", "a/b.png") == tmp_path / "in/a/b.png"
    for name in ("../x", "/etc/passwd", "link/passwd"):
        with pytest.raises(InputError, match="leads out"):
            contained(tmp_path / "in", name)


def test_an_unwritable_folder_is_named_before_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        require_writable(tmp_path / "file" / "out")
