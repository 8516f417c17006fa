import errno
import json

import pytest
import torch

from get3d.files import (
    InputError,
    contained,
    parse_json,
    read_json,
    require_space,
    require_writable,
    write_json,
    writing,
)
from get3d.networks import DiscriminatorConfig
from get3d.storage import (
    checksum,
    describe,
    load_tensors,
    read_description,
    read_shapes,
    require_same_shapes,
    restore,
    save_tensors,
    with_prefix,
    without_prefix,
)

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


def test_a_changed_bit_is_noticed_where_a_part_is_read_and_no_other_part_is(saved):
    content = bytearray(saved.read_bytes())
    content[-9] ^= 1  # In b.half: the types with the longest numbers come first.
    saved.write_bytes(content)
    damaged = [prefix for prefix in ("a.", "b.") if _refused(lambda prefix=prefix: load_tensors(saved, prefix=prefix))]
    assert len(damaged) == 1
    assert read_description(saved)["kind"] == "test"


def _refused(read):
    try:
        read()
    except InputError as error:
        assert "checksum" in str(error)
        return True
    return False


def test_a_changed_description_is_noticed(saved):
    content = saved.read_bytes()
    saved.write_bytes(content.replace(b'\\"kind\\": \\"test\\"', b'\\"kind\\": \\"best\\"'))
    assert saved.read_bytes() != content
    with pytest.raises(InputError, match="checksum of its head does not match"):
        read_description(saved)


@pytest.mark.parametrize("format", [None, 0, 2, "1", True, 1.0])
def test_another_format_is_refused(saved, format):
    from safetensors.torch import save_file

    text = json.dumps({"kind": "test"} | ({} if format is None else {"format": format}))
    save_file(TENSORS, saved, metadata={"description": text, "checksum": "x", "checksums": "{}"})
    said = "has no format number" if format is None else f"format is {format!r}"
    with pytest.raises(InputError, match=f"{said}, this version reads 1; train, release or convert it again"):
        load_tensors(saved)


def test_shapes_are_read_without_tensors_and_compared_with_a_network_without_memory(tmp_path):
    path = tmp_path / "model.safetensors"
    save_tensors(path, with_prefix("net.", torch.nn.Linear(3, 2).state_dict()), {})
    assert read_shapes(path, "net.") == {"weight": (2, 3), "bias": (2,)}
    require_same_shapes(path, "net.", lambda: torch.nn.Linear(3, 2))
    with pytest.raises(
        InputError,
        match=r"net\.weight is 2 × 3 in the file, 2 × 1000000000 by the configuration; weights that differ: 1",
    ):
        require_same_shapes(path, "net.", lambda: torch.nn.Linear(10**9, 2))
    with pytest.raises(InputError, match=r"net\.0\.bias is missing in the file"):
        require_same_shapes(path, "net.", lambda: torch.nn.Sequential(torch.nn.Linear(3, 2)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("[NaN]", "NaN is not a finite number"),
        ("[-Infinity]", "-Infinity is not a finite number"),
        ("[1e999]", "1e999 is not a finite number"),
        ("[" + "9" * 400 + ".5]", "is not a finite number"),
        ("[" + "9" * 5000 + "]", "is too large"),
        ("[18446744073709551616]", "is too large"),
        ('["a\\u0000b"]', "has a NUL character"),
        ('["a\0b"]', "Invalid control character"),
    ],
)
def test_json_that_cannot_be_used_is_one_error(text, message):
    with pytest.raises(InputError, match=f"^a file: is not readable JSON .*{message}"):
        parse_json(text, "a file")


def test_json_within_bounds_is_read_as_python_reads_it():
    text = '{"a": [1e300, -1.5e-320, 9223372036854775807, 18446744073709551615, 123456789012345678901e-9], "b": 0}'
    assert parse_json(text, "a file") == json.loads(text)


def test_json_that_is_no_file_or_not_text_is_named(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe{}")
    for name, message in (
        ("pipe", "not a regular file"),
        ("bytes", "is not UTF-8 text"),
        (".", "not a regular file"),
    ):
        with pytest.raises(InputError, match=message):
            read_json(tmp_path / name)


def test_a_disk_without_room_is_named_with_what_is_lacking(tmp_path, monkeypatch):
    import shutil

    free = shutil.disk_usage(tmp_path).free
    require_space(tmp_path / "new" / "folder", free // 2, "some files")
    with pytest.raises(
        InputError, match=r"folder: has \d+\.\d MB free, and some files take \d+\.\d MB more than are there"
    ):
        require_space(tmp_path / "new" / "folder", 2 * free + 10**15, "some files")


def test_numbers_that_are_not_finite_can_be_left_to_who_reads_a_file():
    assert repr(parse_json("[NaN, -Infinity, 1e999]", "a file", finite=False)) == "[nan, -inf, inf]"


@pytest.mark.parametrize("value", [None, [], "a", 1])
def test_a_configuration_that_is_no_table_is_refused(value):
    with pytest.raises(InputError, match=r"a file: its DiscriminatorConfig is no table but a \w+; use another copy"):
        restore(DiscriminatorConfig, value, "a file")


def test_checksums_that_are_no_texts_are_refused(saved):
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(saved, "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    metadata["checksums"] = json.dumps(dict.fromkeys(tensors, 1))
    metadata["checksum"] = checksum({}, metadata["description"] + metadata["checksums"])
    save_file(tensors, saved, metadata=metadata)
    with pytest.raises(InputError, match="its checksums are no table of texts"):
        load_tensors(saved)


@pytest.mark.parametrize("odd", [1e300, 1.0, "1", True, None, [1], 2**63])
def test_an_integer_is_made_of_nothing_else(odd):
    described = describe(DiscriminatorConfig())
    name = next(name for name, value in described.items() if type(value) is int)
    with pytest.raises(InputError, match=rf"^a file: .*{name}"):
        restore(DiscriminatorConfig, described | {name: odd}, "a file")
