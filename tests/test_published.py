"""Published networks give the published numbers; their files convert, convert back bit for bit, and cannot do harm."""

import os
import pickle
import re
import resource
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import published
from conftest import FIXTURES
from get3d.camera_prior import CameraPrior
from get3d.checkpoints import published as conversion
from get3d.checkpoints.model import load
from get3d.checkpoints.published_names import discriminator_names, generator_names
from get3d.files import InputError
from get3d.generator import Generator, GeneratorConfig
from get3d.latents import Latents
from get3d.networks import (
    Discriminator,
    DiscriminatorConfig,
    Fields,
    PlanesConfig,
    PriorConfig,
    SeparateConfig,
    UnifiedConfig,
    VolumeConfig,
)
from published import relative_error

EXPECTED = np.load(FIXTURES / "networks.npz")

GRID = 6
PLANES = PlanesConfig(resolution=8, channels=4, channel_base=64, channel_max=12)
SMALL = {
    "unified": UnifiedConfig(planes=PLANES, texture_features=5),
    "separate": SeparateConfig(volume=VolumeConfig(8, 32, 6, hidden=7), planes=PLANES, texture_features=5),
}


def _tensor(name: str) -> Tensor:
    return torch.from_numpy(EXPECTED[name])


def _fields(generator: Generator) -> Fields:
    with torch.no_grad():
        return generator.field(Latents(_tensor("z_geo"), _tensor("z_tex")), 1.0).fields


def _assert_published(found: Tensor, name: str, tolerance: float = 1e-4) -> None:
    assert relative_error(found, EXPECTED[name]) < tolerance, name


def test_unified_generator_gives_the_published_numbers() -> None:
    generator = conversion.generator_from_published(published.state_dict("unified_dmtet.G"), "the fixture", GRID)
    latents, points = Latents(_tensor("z_geo"), _tensor("z_tex")), _tensor("points")
    for psi in (1.0, 0.7):
        styles = generator.styles(latents, psi)
        _assert_published(styles.geometry[:, 0], f"unified.w_geo.psi{psi}")
        _assert_published(styles.texture[:, -1], f"unified.w_tex.psi{psi}")
    fields = _fields(generator)
    planes = fields.texture.planes
    _assert_published(planes.features.flatten(1, 2)[:, ::8, ::32, ::32], "unified.planes_tex.strided")
    _assert_published(fields.geometry.planes.features.flatten(1, 2)[:, ::8, ::32, ::32], "unified.planes_geo.strided")
    values = fields.geometry.at(points)
    _assert_published(values.sdf, "unified.sdf")
    _assert_published(values.deformation, "unified.deformation_raw")
    _assert_published(fields.texture.head(planes.at(points, torch.arange(2))), "unified.tex_feature")
    _assert_published(fields.texture.at(points)["base_color"], "unified.rgb")


def test_unified_generator_for_flexicubes_gives_the_published_numbers() -> None:
    generator = conversion.generator_from_published(published.state_dict("unified_flexicubes.G"), "the fixture", GRID)
    geometry = _fields(generator).geometry
    vertices = _tensor("flexicubes.grid_vertices")
    values = geometry.at(vertices.expand(2, -1, -1))
    _assert_published(values.sdf, "flexicubes.sdf")
    _assert_published(values.deformation, "flexicubes.deformation_raw")
    axis = vertices[:9, 2]
    assert torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).view(-1, 3).equal(vertices)
    on_lattice = geometry.on_lattices([axis])[0]
    _assert_published(on_lattice.sdf, "flexicubes.sdf")
    _assert_published(on_lattice.deformation, "flexicubes.deformation_raw")
    _assert_published(geometry.cell_values(axis), "flexicubes.weights")


@pytest.mark.slow
def test_separate_generators_give_the_published_numbers() -> None:
    fields = _fields(conversion.generator_from_published(published.state_dict("separate_dmtet.G"), "the fixture", GRID))
    points = _tensor("points")
    values = fields.geometry.at(points)
    _assert_published(values.sdf, "separate.sdf")
    _assert_published(values.deformation, "separate.deformation_raw")
    _assert_published(fields.texture.at(points)["base_color"], "separate.rgb")


@pytest.mark.slow
@pytest.mark.parametrize("resolution", [256, 1024])
def test_discriminator_gives_the_published_numbers(resolution: int) -> None:
    discriminator = conversion.discriminator_from_published(published.state_dict("D", resolution), "the fixture")
    assert discriminator.resolution == resolution
    draw = np.random.default_rng([published.SEED, resolution])
    images = draw.uniform(-1, 1, (4, 4, resolution, resolution)).astype(np.float32)
    images[:, 3] = images[:, 3] > 0
    with torch.no_grad():
        logits = discriminator(torch.from_numpy(images), _tensor(f"D{resolution}.camera"))
    _assert_published(logits.rgb, f"D{resolution}.logits_rgb", 1e-3)
    _assert_published(logits.mask, f"D{resolution}.logits_mask", 1e-3)


FILTER = torch.tensor([[1, 3, 3, 1], [3, 9, 9, 3], [3, 9, 9, 3], [1, 3, 3, 1]]) / 64


def _checkpoint(kind: str = "unified", isosurface: str = "tetrahedra") -> dict[str, dict[str, Tensor]]:
    """A checkpoint as the published ones, of small networks with random weights."""
    config = GeneratorConfig(
        z_dim=10, w_dim=9, mapping_layers=3, synthesis=SMALL[kind], isosurface=isosurface, grid_resolution=GRID
    )
    judge = DiscriminatorConfig(channel_base=64, channel_max=10, condition=6, condition_layers=2)
    generators = [(Generator(config), generator_names(config)) for _ in range(2)]
    networks = [*generators, (Discriminator(judge, resolution=16), discriminator_names(judge, 16))]
    return {
        part: {name: FILTER if own is None else network.state_dict()[own] for name, own in names.items()}
        for part, (network, names) in zip(("G", "G_ema", "D"), networks, strict=True)
    }


def _saved(folder: Path, checkpoint: object) -> Path:
    path = folder / "published.pt"
    torch.save(checkpoint, path)
    return path


@pytest.mark.parametrize(
    ("kind", "isosurface"), [("unified", "tetrahedra"), ("unified", "flexicubes"), ("separate", "tetrahedra")]
)
def test_conversion_there_and_back_changes_no_bit(tmp_path: Path, kind: str, isosurface: str) -> None:
    checkpoint = _checkpoint(kind, isosurface)
    model = conversion.convert(_saved(tmp_path, checkpoint), tmp_path / "model", grid_resolution=GRID)
    conversion.convert_back(model.parent, tmp_path / "back.pt")
    back = torch.load(tmp_path / "back.pt", weights_only=True)
    assert back.keys() == checkpoint.keys()
    for part, tensors in checkpoint.items():
        assert back[part].keys() == tensors.keys()
        assert all(back[part][name].equal(tensor) for name, tensor in tensors.items())


def test_a_converted_model_is_the_average_with_its_mean_styles_estimated(tmp_path: Path) -> None:
    path = _saved(tmp_path, _checkpoint())
    loaded, converted = (
        conversion.load_published(path, "chair", GRID).generator_ema,
        load(conversion.convert(path, tmp_path, "chair", GRID)),
    )
    assert converted.config == loaded.config
    assert converted.config.grid_size == 0.8
    latents = loaded.sample_latents(2, seed=0)
    points = 0.8 * (torch.rand(2, 30, 3) - 0.5)
    assert converted.field(latents, 1.0).color(points).equal(loaded.field(latents, 1.0).color(points))
    assert converted.field(latents, 1.0).sdf(points).equal(loaded.field(latents, 1.0).sdf(points))
    loaded.estimate_mean_styles()
    assert converted.styles(latents, psi=0.5).texture.equal(loaded.styles(latents, psi=0.5).texture)


def test_the_size_of_the_grid_is_that_of_the_class_or_the_one_that_is_given(tmp_path: Path) -> None:
    path = _saved(tmp_path, _checkpoint())
    for kind, size in {"car": 1.0, "chair": 0.8, "motorbike": 1.0, "table": 0.8}.items():
        assert conversion.load_published(path, kind, GRID).generator.config.grid_size == size
    converted = load(conversion.convert(path, tmp_path, "table", GRID, grid_size=0.95))
    assert converted.config.grid_size == 0.95
    assert float(converted.isosurface.grid.vertices.amax()) == pytest.approx(0.475)
    wrong = (((GRID, 0.0), "--grid-size is 0"), ((GRID, 9.0), "--grid-size is 9"), ((2, None), "--grid is 2"))
    for numbers, option in wrong:
        with pytest.raises(InputError, match=option):
            conversion.convert(path, tmp_path / "none", "car", *numbers)
    assert not (tmp_path / "none").exists()
    with pytest.raises(InputError, match="--grid-size is only for a published file"):
        conversion.ConvertConfig(path, tmp_path, grid_size=1.0, to_published=True)


def test_sizes_are_found(tmp_path: Path) -> None:
    found = conversion.load_published(_saved(tmp_path, _checkpoint("separate")), grid_resolution=GRID)
    config = found.generator.config
    assert config.synthesis == SMALL["separate"]
    assert (config.z_dim, config.w_dim, config.mapping_layers) == (10, 9, 3)
    assert config.cameras == CameraPrior()
    judge = found.discriminator
    assert judge.resolution == 16
    assert judge.config == DiscriminatorConfig(channel_base=64, channel_max=10, condition=6, condition_layers=2)


class _Harm:
    """Leaves a file behind when unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle", "new pickle"])
def test_code_in_a_file_is_refused_and_does_not_run(tmp_path: Path, how: str) -> None:
    mark, path = tmp_path / "harmed", tmp_path / "evil.pt"
    if "pickle" in how:
        path.write_bytes(pickle.dumps(_Harm(mark), protocol=4 if how == "new pickle" else 2))
    else:
        torch.save(_checkpoint() | {"G": _Harm(mark)}, path, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(
        InputError, match=r"evil\.pt: (refused: it contains code|is .* 1\.6 or later; nothing in it was run)"
    ):
        conversion.load_published(path)
    assert not mark.exists()
    torch.load(path, weights_only=False) if "pickle" not in how else pickle.loads(path.read_bytes())
    assert mark.exists(), "the file would have done harm"


def _repeating(name: str) -> Callable[[dict], None]:
    """A tensor of that size takes 4 bytes of the file: one number, as often as there are elements."""

    def change(checkpoint: dict) -> None:
        checkpoint["G"][name] = torch.zeros(1).expand(2**15, 2**15)

    return change


def _many_layers(checkpoint: dict) -> None:
    for part in ("G", "G_ema"):
        checkpoint[part]["mapping.fc999999999.weight"] = torch.zeros(1)


def _inferred(checkpoint: dict) -> None:
    """Small tensors of which a network of hundreds of gigabytes would follow."""
    for part in ("G", "G_ema"):
        names = [name for name in checkpoint[part] if re.search(r"\.b\d+\.conv1\.weight", name)]
        checkpoint[part] |= {name: torch.zeros(65_536, 1, 1, 1) for name in names}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_repeating("mapping.fc0.weight"), r"its tensors have 42\d+ bytes, the file \d+"),
        (_many_layers, r"mapping_layers is 1000000000; it must be from 1 to 64"),
        (_inferred, "is not a published network of its kind|channel_base is"),
    ],
)
def test_sizes_that_a_file_claims_take_no_memory(tmp_path: Path, change: Callable[[dict], None], message: str) -> None:
    checkpoint = _checkpoint()
    change(checkpoint)
    path = _saved(tmp_path, checkpoint)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=message):
        conversion.load_published(path, grid_resolution=GRID)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KiB


def test_a_compressed_file_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path, packed = _saved(tmp_path, _checkpoint()), tmp_path / "packed.pt"
    with zipfile.ZipFile(path) as plain, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as smaller:
        for name in plain.namelist():
            smaller.writestr(name, plain.read(name))
    with pytest.raises(InputError, match=r"packed\.pt: is compressed, which PyTorch never does"):
        conversion.load_published(packed)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", bytes(range(256))])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"file\.pt: "):
        conversion.load_published(path)


def test_files_that_are_missing_or_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.pt: no such file"):
        conversion.load_published(tmp_path / "nothing.pt")
    with pytest.raises(InputError, match=tmp_path.name):
        conversion.load_published(tmp_path)


@pytest.mark.parametrize("pickled", [b"\x80\x02}q\x00(X\x01", b"\x80\x02G\x00", b"", b"\x80\x02h\x05.", b"\x80\x02K"])
def test_a_pickle_that_is_cut_or_wrong_is_refused(tmp_path: Path, pickled: bytes) -> None:
    path, changed = _saved(tmp_path, _checkpoint()), tmp_path / "changed.pt"
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(changed, "w") as archive:
        for name in whole.namelist():
            archive.writestr(name, pickled if name.endswith("data.pkl") else whole.read(name))
    with pytest.raises(InputError, match=r"changed\.pt: (is truncated or not a PyTorch checkpoint|refused)"):
        conversion.load_published(changed)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = _saved(tmp_path, _checkpoint())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"published\.pt: is truncated"):
        conversion.load_published(path)


@pytest.mark.parametrize(
    "content", [[1, 2], {"model": {"weight": torch.ones(1)}}, {"G": {"a": 1}, "G_ema": {}, "D": {}}]
)
def test_another_projects_file_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(InputError, match=r"from another project: it has no table of tensors named G;"):
        conversion.load_published(_saved(tmp_path, content))


@pytest.mark.parametrize("part", ["G", "D"])
def test_another_projects_tensors_are_refused(tmp_path: Path, part: str) -> None:
    checkpoint = _checkpoint() | {part: {"layer1.0.weight": torch.ones(3)}}
    with pytest.raises(InputError, match=f"published.pt: {part} is from another project"):
        conversion.load_published(_saved(tmp_path, checkpoint), grid_resolution=GRID)


def test_missing_extra_and_misshapen_tensors_are_named(tmp_path: Path) -> None:
    checkpoint = _checkpoint()
    tensors = checkpoint["G_ema"]
    removed = [name for name in sorted(tensors) if "affine" in name]
    for name in removed:
        del tensors[name]
    tensors["unheard_of"] = torch.ones(1)
    tensors["synthesis.to_rgb.bias"] = torch.ones(4)
    tensors["mapping.w_avg"] = tensors["mapping.w_avg"].half()
    tensors["synthesis.generator.tri_plane_synthesis.b8.resample_filter"] = torch.ones(4, 4)
    with pytest.raises(InputError) as error:
        conversion.load_published(_saved(tmp_path, checkpoint), grid_resolution=GRID)
    text = str(error.value)
    assert "G_ema is not a published network" in text
    assert f"missing tensors: {', '.join(removed[:10])} and {len(removed) - 10} more;" in text
    assert "extra tensors: unheard_of;" in text
    assert "synthesis.to_rgb.bias [4] instead of [3]" in text
    assert "float32: mapping.w_avg" in text
    assert "published one: synthesis.generator.tri_plane_synthesis.b8.resample_filter" in text


def test_only_whole_models_of_published_kinds_convert_back(tmp_path: Path) -> None:
    config = GeneratorConfig(synthesis=SMALL["separate"], isosurface="flexicubes")
    with pytest.raises(InputError, match="no published model has separate generators and FlexiCubes"):
        generator_names(config)
    shiny = replace(config, synthesis=replace(SMALL["unified"], channels=("base_color", "roughness")))
    with pytest.raises(InputError, match="no published model makes the channels base_color, roughness"):
        generator_names(shiny)
    waves = replace(config, synthesis=replace(SMALL["unified"], texture_frequencies=1))
    with pytest.raises(InputError, match="no published model has textures of waves"):
        generator_names(waves)
    warmed = replace(config, synthesis=SMALL["unified"], prior=PriorConfig(styles=3))
    with pytest.raises(InputError, match="no published model has the random styles of a warm-up"):
        generator_names(warmed)
    unified = replace(config, synthesis=SMALL["unified"])
    assert any("mlp_synthesis_weight" in name for name in generator_names(unified))
