"""A shapes.json carries styles as it carries latents: exactly, and nothing in it is taken on trust."""

import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

import tiny
from get3d.checkpoints.model import load
from get3d.files import InputError
from get3d.generation.config import GenerateConfig
from get3d.generation.generate import generate
from get3d.generation.shape_list import read_shape_list, write_shape_list
from get3d.latents import Latents, Styles

ONES = base64.b64encode(np.ones(16, dtype="<f4").tobytes()).decode()
QUICK = {"resolution": 16, "texture": 16, "faces": 60, "video": "none", "device": "cpu"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.write_model(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture(scope="module")
def generator(model):
    return load(model, "cpu")


def made(model: str, out: Path, shapes: Path, **changes: object) -> dict[str, bytes]:
    """What `get3d generate` writes, by name."""
    config = replace(GenerateConfig(model, out=out, latents=shapes, **QUICK), **changes)
    return {path.name: path.read_bytes() for path in generate(config, Console(file=io.StringIO()))}


@pytest.mark.parametrize("per_layer", [True, False])
def test_styles_come_back_exactly(generator, tmp_path, per_layer):
    styles = generator.styles(generator.sample_latents(3, 0), 0.6, per_layer=per_layer)
    write_shape_list(tmp_path / "shapes.json", generator, styles, ["a", "b", "c"])
    plan = read_shape_list(tmp_path / "shapes.json", generator)
    assert plan.names == ["a", "b", "c"]
    expected = generator.require_styles(styles)
    assert isinstance(plan.latents, Styles)
    assert torch.equal(plan.latents.geometry, expected.geometry)
    assert torch.equal(plan.latents.texture, expected.texture)


def one_by_one(generator, latents, psi, **options):
    """Styles as a CPU makes them for objects: of one shape at a time, as a product rounds by how many rows it has."""
    parts = [generator.styles(latents[number : number + 1], psi, **options) for number in range(len(latents))]
    return Styles(torch.cat([part.geometry for part in parts]), torch.cat([part.texture for part in parts]))


def test_styles_make_the_files_that_latents_make(model, generator, tmp_path):
    latents = generator.sample_latents(3, 0)
    write_shape_list(tmp_path / "latents.json", generator, latents, psi=0.6)
    expected = made(model, tmp_path / "a", tmp_path / "latents.json")
    assert len(expected) == 3
    for per_layer in (True, False):
        write_shape_list(tmp_path / "styles.json", generator, one_by_one(generator, latents, 0.6, per_layer=per_layer))
        assert made(model, tmp_path / f"styles-{per_layer}", tmp_path / "styles.json") == expected
    # What is made of styles records them, and is made again of its own record.
    assert made(model, tmp_path / "again", tmp_path / "styles-True" / "shapes.json") == expected


def test_a_list_of_styles_latents_and_seeds(model, generator, tmp_path):
    """Truncation in place of the file's is that of latents and seeds alone."""
    latents = generator.sample_latents(3, 0)
    write_shape_list(tmp_path / "latents.json", generator, latents, psi=0.6)
    write_shape_list(tmp_path / "styles.json", generator, generator.styles(latents, 0.6), psi=0.6)
    values, others = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("styles", "latents"))
    values["shapes"][1] = others["shapes"][1]
    values["shapes"][2] = {"name": "000002", "seed": 2}
    (tmp_path / "mixed.json").write_text(json.dumps(values))
    for psi in (None, 0.2):
        plan = read_shape_list(tmp_path / "mixed.json", generator, psi)
        truncated = generator.styles(latents, psi or 0.6)
        assert torch.equal(plan.latents.geometry[0], generator.styles(latents, 0.6).geometry[0])
        torch.testing.assert_close(plan.latents.geometry[1:], truncated.geometry[1:])
        torch.testing.assert_close(plan.latents.texture[1:], truncated.texture[1:])
    assert len(made(model, tmp_path / "out", tmp_path / "mixed.json", psi=0.5)) == 3
    assert isinstance(read_shape_list(tmp_path / "latents.json", generator).latents, Latents)


def test_thousands_of_meshes_are_made_of_styles_too(model, generator, tmp_path):
    latents = generator.sample_latents(2, 0)
    for name, codes in (("latents", latents), ("styles", one_by_one(generator, latents, 0.7))):
        write_shape_list(tmp_path / f"{name}.json", generator, codes)
    bare = {"geometry_only": True, "format": "ply", "points": 0}
    expected = made(model, tmp_path / "a", tmp_path / "latents.json", **bare)
    assert made(model, tmp_path / "b", tmp_path / "styles.json", **bare) == expected
    again = made(model, tmp_path / "c", tmp_path / "b" / "shapes.json", **bare)
    assert again == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": [2, 7]}, r"geometry styles are 448 bytes, but \[2, 7\] float32 take 56"),
        ({"shape": [10**9, 10**9]}, "float32 take 4000000000000000000"),
        ({"shape": [-1, 16]}, r"must be \[w\] or \[layers, w\]"),
        ({"shape": [True]}, r"must be \[w\] or \[layers, w\]"),
        ({"shape": [1, 1, 232]}, r"must be \[w\] or \[layers, w\]"),
        ({"float32": "!!!!"}, "not base64"),
        ({"float32": "A"}, "not base64"),
        ({"float32": "ä"}, "is not a shapes.json"),
        ({"float32": 5}, "is not a shapes.json"),
        ({"shape": [1], "float32": "AADAfw=="}, "not finite"),
        ({"shape": [1, 16], "float32": ONES}, r"geometry styles are \[1, 16\].*use the model that made them"),
    ],
)
def test_styles_that_cannot_be_used_are_said(generator, tmp_path, changes, message):
    path = tmp_path / "shapes.json"
    write_shape_list(path, generator, generator.styles(generator.sample_latents(1, 0)))
    values = json.loads(path.read_text())
    values["shapes"][0]["styles"]["geometry"] |= changes
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match=message) as error:
        read_shape_list(path, generator)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("odd", [1e300, 2.0, "2", True, -1, 2**63])
@pytest.mark.parametrize("name", ["seed", "grid"])
def test_seeds_and_grids_are_integers(generator, tmp_path, name, odd):
    path = tmp_path / "shapes.json"
    values = {"format": 1, "psi": 0.7, "grid": 8, "shapes": [{"name": "a", "seed": 2}]}
    (values if name == "grid" else values["shapes"][0])[name] = odd
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match=rf"shapes\.json: .*{name} is .*, not an integer"):
        read_shape_list(path, generator)


def test_what_cannot_be_made_again_is_not_written(generator, tmp_path):
    path, styles = tmp_path / "shapes.json", generator.styles(generator.sample_latents(2, 0))
    with pytest.raises(InputError, match="cannot be a name"):
        write_shape_list(path, generator, styles, ["a", "../b"])
    with pytest.raises(InputError, match="two shapes have the name"):
        write_shape_list(path, generator, styles, ["a", "a"])
    with pytest.raises(ValueError, match="1 names for 2 shapes"):
        write_shape_list(path, generator, styles, ["a"])
    with pytest.raises(ValueError, match="this generator takes"):
        write_shape_list(path, generator, replace(styles, texture=styles.texture[:, 1:]))
    assert not path.exists()
