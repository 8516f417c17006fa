"""Models whose file is damaged, or says of itself what is not so, are refused by whatever reads them."""

import resource
from pathlib import Path

import pytest
import torch
from rich.console import Console

import tiny
from get3d.checkpoints.config import ReleaseConfig
from get3d.checkpoints.model import WEIGHTS, load
from get3d.checkpoints.release import release
from get3d.files import InputError
from get3d.generation.config import GenerateConfig, InterpolateConfig
from get3d.generation.generate import generate
from get3d.generation.interpolation import interpolate
from get3d.generator import Generator
from get3d.storage import describe, save_tensors, with_prefix

QUIET = Console(quiet=True)


def saved(path: Path, **claims: object) -> Path:
    """A model's file, whose head may claim what its tensors are not."""
    torch.manual_seed(0)
    weights = Generator(tiny.GENERATOR).state_dict()
    save_tensors(path, with_prefix(WEIGHTS, weights), {"generator": {**describe(tiny.GENERATOR), **claims}})
    return path


def _generate(path: Path, out: Path) -> None:
    generate(GenerateConfig(str(path), out=out, num=1, video="none", resolution=16, texture=16, faces=100), QUIET)


def _interpolate(path: Path, out: Path) -> None:
    interpolate(InterpolateConfig(str(path), out=out, num=2, video="none", resolution=16, texture=16, faces=100), QUIET)


def _release(path: Path, out: Path) -> None:
    release(ReleaseConfig(str(path), out=out, title="mine", licence="CC0-1.0"), QUIET)


USES = {
    "load": lambda path, out: load(path),
    "generate": _generate,
    "interpolate": _interpolate,
    "release": _release,
}


@pytest.mark.parametrize("use", USES)
def test_a_weight_with_another_bit_is_refused_and_nothing_is_written(tmp_path, use):
    path = saved(tmp_path / "model.safetensors")
    load(path)
    content = bytearray(path.read_bytes())
    content[-50] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.safetensors: .*damaged"):
        USES[use](path, tmp_path / "out")
    assert not [file for file in (tmp_path / "out").rglob("*") if file.is_file()]


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"z_dim": 10**9}, "z_dim"),
        ({"w_dim": 10**9}, "w_dim"),
        ({"mapping_layers": 10**9}, "mapping_layers"),
        ({"z_dim": 4096}, r"is .* in the file, .* by the configuration"),
        ({"grid_resolution": 10**9}, "grid_resolution"),
        ({"grid_resolution": 1000}, r"grid_resolution is 1000, which takes about .* GB"),
    ],
)
def test_what_a_head_claims_takes_no_memory(tmp_path, monkeypatch, claims, message):
    monkeypatch.setattr("get3d.isosurface.memory.free_memory", lambda device: 10**9)
    path = saved(tmp_path / "model.safetensors", **claims)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=message):
        load(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB
