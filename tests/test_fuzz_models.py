"""Models, published checkpoints, lists of shapes and runs, damaged and made up: see `fuzzing`."""

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import strategies as st

from fuzzing import ODD, cut_and_changed, fuzz, odd_json, reads_or_refuses
from get3d.checkpoints.model import WEIGHTS, load, read_config
from get3d.checkpoints.published import convert, load_published
from get3d.checkpoints.published_names import discriminator_names, generator_names
from get3d.generation.shape_list import of_seeds, read_shape_list, write_shape_list
from get3d.generator import Generator
from get3d.networks import Discriminator
from get3d.storage import checksum, describe, save_tensors, with_prefix
from get3d.training.folder import write_config
from get3d.training.runs import status
from tiny import DISCRIMINATOR, GENERATOR

pytestmark = pytest.mark.slow


def saved(path: Path) -> bytes:
    generator = Generator(GENERATOR)
    save_tensors(path, with_prefix(WEIGHTS, generator.state_dict()), {"generator": describe(GENERATOR)})
    return path.read_bytes()


def use_model(path: Path) -> None:
    reads_or_refuses(lambda: read_config(path))
    reads_or_refuses(lambda: load(path, "cpu"))


@st.composite
def changed_heads(draw: st.DrawFn, whole: bytes) -> bytes:
    """A model whose head says other types, sizes and places of tensors, or another configuration; sums are right."""
    (length,) = struct.unpack("<Q", whole[:8])
    head = json.loads(whole[8 : 8 + length])
    metadata = head["__metadata__"]
    tensors = [name for name in head if name != "__metadata__"]
    kind = draw(st.sampled_from(("description", "tensor", "sums", "json", "length")))
    if kind == "description":
        metadata["description"] = draw(odd_json(json.loads(metadata["description"]))).decode()
    elif kind == "tensor":
        for name in draw(st.lists(st.sampled_from(tensors), min_size=1, max_size=3, unique=True)):
            sizes = st.lists(st.sampled_from([0, 1, 3, 2**20, 2**31, 2**63, 2**64 - 1]), max_size=4)
            change = draw(st.sampled_from(("dtype", "shape", "data_offsets", "gone", "new")))
            if change == "gone":
                del head[name]
            elif change == "new":
                head[draw(st.text(max_size=9))] = head[name]
            elif change == "dtype":
                head[name]["dtype"] = draw(st.sampled_from(["F64", "F16", "BF16", "BOOL", "I64", "U8", "C64"]))
            else:
                head[name][change] = draw(st.one_of(sizes, st.sampled_from(ODD)))
    elif kind == "sums":
        metadata["checksums"] = draw(odd_json(json.loads(metadata["checksums"]))).decode()
    if kind != "json":
        metadata["checksum"] = checksum({}, metadata["description"] + metadata["checksums"])
    text = draw(odd_json(head)) if kind == "json" else json.dumps(head).encode()
    claimed = len(text)
    if kind == "length":
        claimed = draw(st.sampled_from([0, 1, claimed - 1, claimed + 1, 2**32, 2**63, 2**64 - 1]))
    return struct.pack("<Q", claimed) + text + whole[8 + length :]


def test_model_heads(tmp_path):
    path = tmp_path / "model.safetensors"
    whole = saved(path)

    def check(content: bytes) -> None:
        path.write_bytes(content)
        use_model(path)

    fuzz(changed_heads(whole), check)


def test_model_bytes(tmp_path):
    path = tmp_path / "model.safetensors"
    whole = saved(path)

    def check(content: bytes) -> None:
        path.write_bytes(content)
        use_model(path)

    fuzz(cut_and_changed(whole), check)


def published() -> dict[str, dict[str, torch.Tensor]]:
    generator, judge = Generator(GENERATOR), Discriminator(DISCRIMINATOR, resolution=16)
    low_pass = torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8] * 2)
    parts = {}
    for part, network, names in (
        ("G", generator, generator_names(GENERATOR)),
        ("G_ema", generator, generator_names(GENERATOR)),
        ("D", judge, discriminator_names(DISCRIMINATOR, 16)),
    ):
        state = network.state_dict()
        parts[part] = {name: low_pass if own is None else state[own] for name, own in names.items()}
    return parts


def packed(members: dict[str, bytes]) -> bytes:
    """An archive as PyTorch's: the members are not compressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@st.composite
def changed_archives(draw: st.DrawFn, whole: bytes) -> bytes:
    """A checkpoint with a changed member, or with changes in the directory at its end."""
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    kind = draw(st.sampled_from(("pickle", "member", "gone", "directory")))
    if kind == "directory":
        (start,) = struct.unpack("<I", whole[-6:-2])
        return whole[:start] + draw(cut_and_changed(whole[start:]))
    name = next(name for name in members if name.endswith("data.pkl"))
    if kind != "pickle":
        name = draw(st.sampled_from(list(members)))
    if kind == "gone":
        del members[name]
    else:
        members[name] = draw(cut_and_changed(members[name]))
    return packed(members)


@pytest.mark.parametrize("how", ["bytes", "archive"])
def test_published_checkpoints(tmp_path, how):
    path = tmp_path / "published.pt"
    torch.save(published(), path)
    whole = path.read_bytes()
    load_published(path, grid_resolution=8)

    def check(content: bytes) -> None:
        path.write_bytes(content)
        if reads_or_refuses(lambda: load_published(path, grid_resolution=8)) is None:
            reads_or_refuses(lambda: convert(path, tmp_path / "model", grid_resolution=8))

    fuzz(changed_archives(whole) if how == "archive" else cut_and_changed(whole), check)


@st.composite
def odd_tables(draw: st.DrawFn, tables: dict[str, dict[str, torch.Tensor]]) -> Any:
    """Checkpoints whose tables hold other things, or tensors of other sizes and types."""
    changed: Any = {part: dict(table) for part, table in tables.items()}
    for _ in range(draw(st.integers(1, 4))):
        part = draw(st.sampled_from(list(changed)))
        name = draw(st.sampled_from(list(changed[part])))
        odd = draw(
            st.one_of(
                st.sampled_from([value for value in ODD if value != "\ud800"]),
                st.sampled_from([torch.zeros(()), torch.zeros(0), torch.zeros(1).expand(2**20), torch.ones(3, 3, 3)]),
                st.sampled_from([torch.zeros(4, 4, dtype=kind) for kind in (torch.complex64, torch.bool, torch.int64)]),
                st.lists(st.integers(0, 5), max_size=4).map(torch.zeros),
            )
        )
        kind = draw(st.sampled_from(("value", "gone", "name")))
        if kind == "value":
            changed[part][name] = odd
        elif kind == "gone":
            del changed[part][name]
        else:
            new = draw(st.sampled_from(["mapping.fc99999999.weight", "b1024.conv0.weight", "x", "", "b0.x", "b16.rgb"]))
            changed[part][new] = changed[part].pop(name)
    return changed


def test_published_tables(tmp_path):
    path = tmp_path / "published.pt"
    whole = published()

    def check(content: Any) -> None:
        torch.save(content, path)
        reads_or_refuses(lambda: load_published(path, grid_resolution=8))

    fuzz(odd_tables(whole), check)


@pytest.mark.parametrize("form", ["seeds", "latents", "styles"])
def test_lists_of_shapes(tmp_path, form):
    path = tmp_path / "shapes.json"
    generator = Generator(GENERATOR).eval()
    latents = of_seeds(generator, 2, 0, None, 0.7).latents
    write_shape_list(path, generator, generator.styles(latents, 0.7) if form == "styles" else latents)
    values = json.loads(path.read_text())
    if form == "seeds":
        values["shapes"] = [{"name": entry["name"], "seed": n} for n, entry in enumerate(values["shapes"])]
        path.write_text(json.dumps(values))
    whole = path.read_bytes()

    def check(content: bytes) -> None:
        path.write_bytes(content)
        reads_or_refuses(lambda: read_shape_list(path, generator))

    fuzz(st.one_of(odd_json(values), cut_and_changed(whole)), check)


@pytest.mark.parametrize("file", ["config.json", "stats.jsonl"])
def test_runs(tmp_path, file):
    write_config(tmp_path, {"kimg": 1, "seed": 0, "dataset": "a"})
    lines = [{"cur_nimg": n, "images_per_second": 2.0, "swd/all": 1.5} for n in range(3)]
    (tmp_path / "stats.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    whole = (tmp_path / file).read_bytes()
    first = odd_json(json.loads(whole.splitlines()[0] if file == "stats.jsonl" else whole))

    def check(content: bytes) -> None:
        (tmp_path / file).write_bytes(content)
        reads_or_refuses(lambda: status(tmp_path, "run"))

    fuzz(st.one_of(first, cut_and_changed(whole)), check)
