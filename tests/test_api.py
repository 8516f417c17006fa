"""What a researcher builds on: latents, styles and cameras in, meshes and images out, in every mode of PyTorch."""

import copy
import inspect
import re
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import get3d
import tiny
from get3d.authoring.from_meshes.config import RenderConfig
from get3d.benchmarks import BenchConfig
from get3d.cameras import Cameras
from get3d.checkpoints.model import WEIGHTS, load
from get3d.evaluation.evaluator import EvaluateConfig
from get3d.generation.config import GenerateConfig, InterpolateConfig, VaryConfig
from get3d.generation.shape_list import read_shape_list
from get3d.generator import Generator
from get3d.images import Images
from get3d.latents import Latents, Styles
from get3d.meshes import Mesh, MeshBatch
from get3d.networks import (
    Fields,
    GeometryField,
    GeometryValues,
    PlanesConfig,
    SeparateConfig,
    UnifiedConfig,
    VolumeConfig,
)
from get3d.storage import describe, save_tensors, with_prefix
from get3d.training.config import TrainConfig
from get3d.viewer.config import ViewConfig

# Wide enough for the fast convolutions of CPUs, which keep what follows from the weights.
PLANES = PlanesConfig(resolution=8, channels=4, channel_base=1024, channel_max=128)
VOLUME = VolumeConfig(8, 64, 8, hidden=16)
KINDS = [
    pytest.param((isosurface, synthesis), id=f"{isosurface}-{name}", marks=marks)
    for isosurface in ("tetrahedra", "flexicubes")
    for name, synthesis, marks in (
        ("unified", UnifiedConfig(planes=PLANES, texture_features=4), ()),
        ("separate", SeparateConfig(volume=VOLUME, planes=PLANES, texture_features=4), pytest.mark.slow),
    )
]


def made(isosurface: str, synthesis: UnifiedConfig | SeparateConfig) -> Generator:
    torch.manual_seed(0)
    generator = Generator(replace(tiny.GENERATOR, isosurface=isosurface, synthesis=synthesis))
    generator.estimate_mean_styles(samples=1000)
    return generator.eval().requires_grad_(False)


@pytest.fixture(scope="module", params=KINDS)
def generator(request):
    return made(*request.param)


def some_cameras(n: int) -> Cameras:
    return Cameras.sample(tiny.GENERATOR.cameras, n, tiny.seeded())


def same_images(one: Images, other: Images, atol: float = 1e-3) -> None:
    for field in fields(Images):
        torch.testing.assert_close(getattr(one, field.name), getattr(other, field.name), rtol=0, atol=atol)


# Containers


def a_batch_of_meshes() -> MeshBatch:
    draw = tiny.seeded()
    counts = ((3, 1), (2, 0), (4, 5))
    parts = [Mesh(torch.rand(v, 3, generator=draw), torch.randint(v, (f, 3), generator=draw)) for v, f in counts]
    return replace(MeshBatch.from_meshes(parts), placeholder=torch.tensor([False, False, True]))


CONTAINERS = {
    "latents": lambda: Latents(torch.rand(3, 4), torch.rand(3, 4), torch.tensor([0, 2, 1])),
    "latents without label": lambda: Latents(torch.rand(3, 4), torch.rand(3, 4)),
    "styles": lambda: Styles(torch.rand(3, 5, 4), torch.rand(3, 6, 4)),
    "cameras": lambda: some_cameras(3),
    "meshes": a_batch_of_meshes,
    "images": lambda: Images(torch.rand(3, 3, 2, 2), torch.rand(3, 1, 2, 2), torch.tensor([True, False, False])),
}


def parts_of(container: object) -> list[dict[str, torch.Tensor | None]]:
    """What a container says of each of the things in it."""
    if isinstance(container, MeshBatch):
        pairs = zip(container.split(), container.empty, strict=True)
        return [{"vertices": mesh.vertices, "faces": mesh.faces, "empty": empty} for mesh, empty in pairs]
    values = {field.name: getattr(container, field.name) for field in fields(container)}
    return [{k: None if v is None else v[i] for k, v in values.items()} for i in range(len(container))]


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (1, [1]),
        (-1, [2]),
        (slice(1, None), [1, 2]),
        (slice(None, None, 2), [0, 2]),
        (slice(0, 0), []),
        ([2, 0, 2], [2, 0, 2]),
        ([], []),
        (torch.tensor([1, 1]), [1, 1]),
        (torch.tensor(2), [2]),
        (torch.tensor([True, False, True]), [0, 2]),
    ],
)
def test_containers_are_indexed_alike_and_keep_the_batch_axis(name, index, expected):
    container = CONTAINERS[name]()
    chosen = container[index]
    assert type(chosen) is type(container)
    assert len(container) == 3
    assert len(chosen) == len(expected)
    whole = parts_of(container)
    for found, number in zip(parts_of(chosen), expected, strict=True):
        for key, value in found.items():
            assert value is whole[number][key] is None or torch.equal(value, whole[number][key])


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_are_gone_through_and_moved_alike(name):
    container = CONTAINERS[name]()
    assert [len(one) for one in container] == [1, 1, 1]
    for number in (3, -4):
        with pytest.raises(IndexError):
            container[number]
    assert container.device.type == "cpu"
    assert container.to("meta").device.type == "meta"
    double = container.to(dtype=torch.float64)
    for field in fields(container):
        before, after = getattr(container, field.name), getattr(double, field.name)
        if before is None:
            assert after is None
        else:
            assert after.dtype == (torch.float64 if before.is_floating_point() else before.dtype)
            torch.testing.assert_close(after.to(before.dtype), before)


# Latents, styles, cameras


def test_styles_make_what_latents_make(generator):
    """W+, one for each layer, and W, one for all, of the same truncation; by every method."""
    latents, cameras = generator.sample_latents(2, 0), some_cameras(2)
    points = torch.rand(2, 5, 3, generator=tiny.seeded()) * 0.6 - 0.3
    images, meshes = generator.render(latents, cameras, 16, psi=0.6), generator.meshes(latents, psi=0.6)
    (textured, _) = generator.textured(latents, psi=0.6, texture_resolution=32, faces=200)
    for per_layer in (True, False):
        styles = generator.styles(latents, 0.6, per_layer=per_layer)
        assert styles.geometry.ndim == (3 if per_layer else 2)
        same_images(generator.render(styles, cameras, 16), images, atol=0)
        same_images(generator.shapes(styles).draw(cameras, 16), images, atol=0)
        assert torch.equal(generator.meshes(styles).vertices, meshes.vertices)
        assert torch.equal(generator.field(styles).sdf(points), generator.field(latents, 0.6).sdf(points))
        again = generator.textured(styles, texture_resolution=32, faces=200)[0]
        assert torch.equal(again.vertices, textured.vertices)
        assert torch.equal(again.texture, textured.texture)
    default = generator.meshes(latents)
    assert torch.equal(default.vertices, generator.meshes(latents, psi=0.7).vertices)


def test_styles_of_layers_differ(generator):
    """A W+ code is not its first layer: changing the last changes the shape."""
    styles = generator.styles(generator.sample_latents(1, 0), 0.7)
    changed = styles.geometry.clone()
    changed[:, -1] += 3
    other = replace(styles, geometry=changed)
    points = torch.rand(1, 20, 3, generator=tiny.seeded()) * 0.6 - 0.3
    before, after = (generator.field(codes) for codes in (styles, other))
    assert not torch.equal(before.sdf(points), after.sdf(points)) or not torch.equal(
        before.deformation(points), after.deformation(points)
    )


def test_styles_that_do_not_fit_are_refused(generator):
    styles = generator.styles(generator.sample_latents(1, 0))
    with pytest.raises(ValueError, match=r"psi is 0\.5, but styles are used unchanged"):
        generator.meshes(styles, psi=0.5)
    with pytest.raises(
        ValueError, match=r"geometry styles are \[.*16\] for each shape; this generator takes \[16\] \(W\)"
    ):
        generator.meshes(replace(styles, geometry=styles.geometry[:, 1:]))
    with pytest.raises(ValueError, match=r"texture styles are \[1, 16\]"):
        generator.meshes(replace(styles, texture=styles.texture[:, :1]))


def test_one_shape_serves_many_cameras_and_one_camera_many_shapes(generator):
    latents, cameras = generator.sample_latents(3, 0), some_cameras(3)
    for codes in (latents, generator.styles(latents, 0.7), generator.styles(latents, 0.7, per_layer=False)):
        turned = generator.render(codes[1], cameras, 16)
        assert len(turned) == 3
        for number, camera in enumerate(cameras):
            same_images(turned[number], generator.render(codes[1], camera, 16))
        beside = generator.render(codes, cameras[1], 16)
        for number, code in enumerate(codes):
            same_images(beside[number], generator.render(code, cameras[1], 16))
    for shapes, views in ((3, 2), (2, 3)):
        with pytest.raises(ValueError, match=f"{shapes} shapes and {views} cameras"):
            generator.render(latents[:shapes], cameras[:views], 16)


def test_results_say_which_shapes_are_empty(generator):
    """The field is shifted until just one of four shapes has no point inside."""
    generator = copy.deepcopy(generator)
    latents, cameras = generator.sample_latents(4, 0), some_cameras(4)
    grid = generator.isosurface.grid
    sdf = generator.field(latents).sdf(grid.vertices[~grid.boundary].expand(4, -1, -1))[..., 0]
    low, high = sdf.amax(1).sort().values[:2].tolist()
    head = generator.synthesis.sdf_head if hasattr(generator.synthesis, "sdf_head") else generator.synthesis.sdf.head
    head.layers[-1].bias -= (low + high) / 2
    expected = (sdf.amax(1) == low).tolist()
    assert sum(expected) == 1
    assert generator.shapes(latents).empty.tolist() == expected
    assert generator.meshes(latents).empty.tolist() == expected
    assert generator.meshes(latents)[expected.index(True)].empty.tolist() == [True]
    assert generator.render(latents, cameras, 16).empty.tolist() == expected
    turned = generator.render(latents[expected.index(True)], cameras, 16)
    assert turned.empty.tolist() == [True] * 4
    assert [mesh.empty for mesh in generator.textured(latents, texture_resolution=32)] == expected


# Gradients


@dataclass(frozen=True)
class _RoundGeometry:
    """A ball with dents of another field's making: one body, away from the hull, for any styles."""

    inner: GeometryField

    def _round(self, points: torch.Tensor, values: GeometryValues) -> GeometryValues:
        ball = 0.22 - points.norm(dim=-1, keepdim=True)
        return GeometryValues(ball + 0.04 * torch.sin(values.sdf), torch.sin(values.deformation))

    def at(self, points):
        return self._round(points, self.inner.at(points))

    def on_lattices(self, axes):
        lattices = [torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).view(-1, 3) for axis in axes]
        return [self._round(*pair) for pair in zip(lattices, self.inner.on_lattices(axes), strict=True)]

    def cell_values(self, axis):
        return self.inner.cell_values(axis)


class _Round(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.num_geometry_styles, self.num_texture_styles = inner.num_geometry_styles, inner.num_texture_styles

    def forward(self, geometry, texture):
        fields = self.inner(geometry, texture)
        return Fields(_RoundGeometry(fields.geometry), fields.texture)


@pytest.fixture(scope="module", params=KINDS)
def rounded(request):
    generator = made(*request.param)
    generator.synthesis = _Round(generator.synthesis)
    return generator.eval().double()


def _orbit(angles: torch.Tensor) -> Cameras:
    return Cameras.orbit(angles[:, 0], angles[:, 1], 1.2, 0.8)


VIEWS = torch.tensor([[0.3, 1.2], [2.0, 1.0], [4.0, 1.4]], dtype=torch.float64)
VARIED = {
    "geometry latents": ("latents", "geometry"),
    "texture latents": ("latents", "texture"),
    "geometry styles (W)": ("W", "geometry"),
    "texture styles (W)": ("W", "texture"),
    "geometry styles (W+)": ("W+", "geometry"),
    "texture styles (W+)": ("W+", "texture"),
    "positions": ("cameras", "positions"),
    "rotations": ("cameras", "rotations"),
    "focal lengths": ("cameras", "focal_lengths"),
    "principal points": ("cameras", "principal_points"),
    "angles": ("orbit", "angles"),
}


def _varied(generator: Generator, name: str):
    """A tensor, and what is rendered when it is another."""
    latents, cameras = generator.sample_latents(3, 0).to(dtype=torch.float64), _orbit(VIEWS)
    where, field = VARIED[name]
    if where == "orbit":
        return VIEWS, lambda value: (latents, _orbit(value))
    if where == "cameras":
        return getattr(cameras, field), lambda value: (latents, replace(cameras, **{field: value}))
    codes = latents if where == "latents" else generator.styles(latents, 0.7, per_layer=where == "W+")
    return getattr(codes, field), lambda value: (replace(codes, **{field: value}), cameras)


def _slope(measure, start: torch.Tensor) -> tuple[float, torch.Tensor]:
    """The derivative along a direction by autograd, and that direction."""
    direction = torch.randn(start.shape, generator=tiny.seeded(1), dtype=torch.float64)
    direction *= start.norm() / direction.norm()
    value = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(measure(value), value)
    return float((gradient * direction).sum()), direction


@pytest.mark.parametrize("name", VARIED)
def test_colours_have_the_gradient_of_finite_differences(rounded, name):
    start, given_as = _varied(rounded, name)
    weight = torch.rand(3, 3, 24, 24, generator=tiny.seeded(2), dtype=torch.float64)

    def measure(value: torch.Tensor) -> torch.Tensor:
        return (rounded.render(*given_as(value), 24).rgb * weight).sum()

    slope, direction = _slope(measure, start)
    # So small a step moves no silhouette across the centre of a pixel.
    step = 1e-6 * direction
    expected = float(measure(start + step) - measure(start - step)) / 2e-6
    assert abs(expected) > 1e-3
    assert slope == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", [name for name in VARIED if "texture" not in name])
def test_masks_have_the_gradient_of_the_covered_area(rounded, name):
    """Differences of large images, which measure areas well, of an integral with a smooth weight."""
    start, given_as = _varied(rounded, name)

    def measure(value: torch.Tensor, resolution: int) -> torch.Tensor:
        at = (torch.arange(resolution) + 0.5) / resolution
        weight = 1 + torch.sin(3 * at[:, None] + 1) + torch.cos(4 * at)
        return (rounded.render(*given_as(value), resolution).mask * weight).sum() / resolution**2

    slope, direction = _slope(lambda value: measure(value, 256), start)
    # Larger steps would change which cells the surface crosses.
    step = 1e-4 * direction
    expected = float(measure(start + step, 256) - measure(start - step, 256)) / 2e-4
    assert slope == pytest.approx(expected, rel=0.08, abs=0.03 * float(measure(start, 256)))


def test_training_leaves_out_the_gradient_through_positions(rounded):
    """As in the paper: what is drawn has the same numbers, but colours then move neither cameras nor surfaces."""
    latents = rounded.sample_latents(3, 0).to(dtype=torch.float64)
    angles = VIEWS.clone().requires_grad_()
    drawn = rounded.shapes(latents).draw(_orbit(angles), 16)
    assert torch.equal(drawn.rgb, rounded.render(latents, _orbit(VIEWS), 16).rgb)
    assert not drawn.rgb.requires_grad
    assert drawn.mask.requires_grad


def test_fields_have_gradients_in_points(generator):
    generator = copy.deepcopy(generator).double()
    field = generator.field(generator.sample_latents(2, 0).to(dtype=torch.float64))
    points = (torch.rand(2, 6, 3, generator=tiny.seeded(), dtype=torch.float64) * 0.6 - 0.3).requires_grad_()
    for values in (field.sdf, field.deformation, field.color):
        torch.autograd.gradcheck(values, points)


# Modes

MODES = {
    "autograd": (),
    "no_grad": (torch.no_grad,),
    "inference": (torch.inference_mode,),
    "autocast": (lambda: torch.autocast("cpu", torch.bfloat16),),
    "autocast no_grad": (torch.no_grad, lambda: torch.autocast("cpu", torch.bfloat16)),
    "autocast inference": (lambda: torch.autocast("cpu", torch.bfloat16), torch.inference_mode),
}
SEED = 5


def _gradients(generator: Generator) -> list[torch.Tensor]:
    """Of latents and, where it has one, of a weight whose consequences are kept."""
    latents = generator.sample_latents(2, SEED)
    weights = [p for name, p in generator.named_parameters() if name.endswith("conv1.weight") and p.requires_grad][-1:]
    geometry = latents.geometry.clone().requires_grad_()
    images = generator.render(replace(latents, geometry=geometry), some_cameras(2), 12)
    return list(torch.autograd.grad(images.rgb.sum() + images.mask.sum(), [geometry, *weights]))


def _field(generator: Generator) -> list[torch.Tensor]:
    field = generator.field(generator.sample_latents(2, SEED))
    points = torch.rand(2, 5, 3, generator=tiny.seeded()) * 0.6 - 0.3
    return [field.sdf(points), field.deformation(points), field.color(points)]


def _images(generator: Generator) -> list[torch.Tensor]:
    images = generator.render(generator.sample_latents(2, SEED), some_cameras(2), 12)
    return [images.rgb, images.mask]


def _textured(generator: Generator) -> list[torch.Tensor]:
    (mesh,) = generator.textured(generator.sample_latents(1, SEED), texture_resolution=16, faces=40)
    return [mesh.vertices]


CALLS = {
    "render": _images,
    "meshes": lambda generator: [generator.meshes(generator.sample_latents(2, SEED)).vertices],
    "styles": lambda generator: [generator.styles(generator.sample_latents(2, SEED)).geometry],
    "field": _field,
    "textured": _textured,
    "gradients": _gradients,
}


def _in_mode(mode: str, call: str, generator: Generator) -> list[torch.Tensor]:
    with ExitStack() as stack:
        for enter in MODES[mode]:
            stack.enter_context(enter())
        return [value.detach() for value in CALLS[call](generator)]


steps = st.tuples(st.sampled_from(sorted(MODES)), st.sampled_from(sorted(CALLS))).filter(
    lambda step: step[1] != "gradients" or step[0] in ("autograd", "autocast")
)


@pytest.mark.slow
@settings(max_examples=12)
@given(order=st.lists(steps, min_size=2, max_size=6), learning=st.booleans())
def test_modes_in_any_order_leave_no_trace(generator, order, learning):
    """Each call gives what a generator that was never called before gives."""
    used = copy.deepcopy(generator).requires_grad_(learning)
    for mode, call in order:
        fresh = copy.deepcopy(generator).requires_grad_(learning)
        expected = _in_mode(mode, call, fresh)
        found = _in_mode(mode, call, used)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
        # Whatever the mode, the numbers are those of plain PyTorch, or near to them in half precision.
        if call in ("field", "styles"):
            plain = _in_mode("autograd", call, fresh)
            for one, other in zip(found, plain, strict=True):
                assert float((one - other).norm()) <= (0.05 if "autocast" in mode else 1e-4) * float(other.norm())
                assert one.dtype == torch.float32


def test_a_generator_made_moved_and_refined_in_inference_mode_has_gradients_after(generator, tmp_path):
    path = tmp_path / "model.safetensors"
    save_tensors(path, with_prefix(WEIGHTS, generator.state_dict()), {"generator": describe(generator.config)})
    with torch.inference_mode():
        loaded = load(path)
        loaded.use_grid(9)
        loaded.double().float()
        loaded.meshes(loaded.sample_latents(1, 0))
    expected = copy.deepcopy(generator)
    expected.use_grid(9)
    for one, other in zip(_gradients(loaded), _gradients(expected), strict=True):
        torch.testing.assert_close(one, other)
    with torch.inference_mode():
        learning = Generator(generator.config)
    assert _gradients(learning.requires_grad_(True))[1].abs().sum() > 0


# Devices and the package


def test_a_generator_says_where_it_is(generator, device):
    assert generator.device == torch.device("cpu")
    assert copy.deepcopy(generator).to(device).device.type == device.type
    assert copy.deepcopy(generator).to("meta").device.type == "meta"


@pytest.mark.parametrize(
    "config",
    [BenchConfig, EvaluateConfig, GenerateConfig, InterpolateConfig, RenderConfig, TrainConfig, VaryConfig, ViewConfig],
)
def test_every_command_takes_the_device_that_load_takes(config):
    (default,) = (field.default for field in fields(config) if field.name == "device")
    assert default == inspect.signature(load).parameters["device"].default == "auto"


def test_the_package_says_that_it_is_typed():
    assert files(get3d).joinpath("py.typed").is_file()


@pytest.mark.slow
def test_the_page_about_the_api_runs(tmp_path, monkeypatch):
    page = (Path(__file__).parents[1] / "docs/api.md").read_text(encoding="utf-8")
    program = "\n".join(re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(program, names)
    assert sorted(path.name for path in tmp_path.iterdir()) == [*(f"chair-{n}.glb" for n in range(4)), "shapes.json"]
    fitted = read_shape_list(Path("shapes.json"), names["generator"])
    assert torch.equal(fitted.latents.geometry.cpu(), names["geometry"].detach().cpu())
    generator, cameras, target = names["generator"], names["cameras"], names["target"]
    with torch.no_grad():
        before, after = (
            generator.render(codes, cameras, 64).mask.sub(target.mask).square().mean()
            for codes in (names["start"], fitted.latents)
        )
    assert after < 0.9 * before
