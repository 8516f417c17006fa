"""Light that is learnt with the objects: its scale, its gradient, and how runs learn, keep and hand it on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch.nn.functional import normalize

import tiny
from get3d.authoring.procedural import synthesize
from get3d.cameras import Cameras
from get3d.checkpoints.model import WEIGHTS, load
from get3d.checkpoints.release import ReleaseConfig, release
from get3d.datasets.config import SynthConfig
from get3d.files import InputError
from get3d.generator import LIGHT, Generator
from get3d.light_prior import LightPrior
from get3d.networks import PlanesConfig, UnifiedConfig
from get3d.render.learnt_light import LearntLight
from get3d.render.lights import STUDIO
from get3d.render.shade import Surface, shade
from get3d.storage import describe, save_tensors
from get3d.training.config import TrainConfig, prepare_run
from get3d.training.loop import start, train
from get3d.training.warmup_step import begin_warmup, warmup_step

pytestmark = pytest.mark.slow

QUIET = Console(quiet=True)
BASE_COLOR = replace(tiny.GENERATOR, materials="base_color")


def everywhere(count: int = 4000) -> torch.Tensor:
    return normalize(torch.randn(count, 3, generator=tiny.seeded()), dim=1)


def some_light() -> LearntLight:
    light, generator = LearntLight().double(), tiny.seeded(1)
    with torch.no_grad():
        for parameter in light.parameters():
            parameter += 0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return light


def test_it_is_even_at_first():
    light = LearntLight()()
    assert (light.diffuse(everywhere()) - 1).abs().max() < 0.012
    assert (light.radiance(everywhere()) - 1).abs().max() < 0.06


def test_a_white_surface_is_1_where_it_is_brightest_in_each_channel_whatever_the_numbers():
    light, normals = some_light(), everywhere().double()
    brightest = light().diffuse(normals).amax(0)
    assert (brightest - 1).abs().max() < 0.02
    before = light().diffuse(normals)
    with torch.no_grad():
        light.log_amplitude += torch.tensor([3.0, -200.0, 1000.0])
    torch.testing.assert_close(light().diffuse(normals), before)
    with torch.no_grad():
        for parameter in light.parameters():
            parameter *= 1e4
    assert all(value.isfinite().all() for value in (light().diffuse(normals), light().radiance(normals)))


def test_its_gradient_through_shading_is_that_of_finite_differences():
    light, generator = some_light(), tiny.seeded(2)
    normals = everywhere(200).double()
    views = normalize(normals + 0.5 * everywhere(200).flip(0).double(), dim=1)
    surface = Surface(*(torch.rand(200, size, generator=generator, dtype=torch.float64) for size in (3, 1, 1)))
    weights = torch.randn(200, 3, generator=generator, dtype=torch.float64)

    def loss() -> torch.Tensor:
        return (shade(surface, normals, views, light()) * weights).mean()

    gradients = torch.autograd.grad(loss(), list(light.parameters()))
    for (name, parameter), gradient in zip(light.named_parameters(), gradients, strict=True):
        step = 1e-6 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            parameter += step
            above = loss()
            parameter -= 2 * step
            below = loss()
            parameter += step
        assert abs(float((gradient * step).sum() * 2 / (above - below)) - 1) < 1e-3, name


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of which nothing says what lights them."""
    return tiny.write_dataset(tmp_path_factory.mktemp("discs"), views=3)


def config_of(data: Path, out: Path, **changes: object) -> TrainConfig:
    """20 images of warm-up, 4 of the discriminator alone, 16 of both."""
    config = tiny.run_config(data, out, warmup_kimg=0.020, generator=BASE_COLOR, **changes)
    return replace(config, warmup=replace(config.warmup, discriminator_kimg=0.004))


@pytest.fixture(scope="module")
def uninterrupted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("uninterrupted")
    train(config_of(data, out), QUIET)
    return out


def test_both_phases_learn_the_light_of_images_whose_light_is_not_known(uninterrupted: Path):
    at_first = LearntLight().state_dict()
    assert at_first.keys() == {"axes", "log_sharpness", "log_amplitude"}
    warm, last = tiny.tensors_of(uninterrupted, 20), tiny.tensors_of(uninterrupted, 40)
    for name, value in at_first.items():
        for network in ("generator.", WEIGHTS):
            assert not warm[f"{network}{LIGHT}{name}"].equal(value)
            assert not last[f"{network}{LIGHT}{name}"].equal(warm[f"{network}{LIGHT}{name}"])


def test_a_model_draws_in_its_light_wherever_no_other_is_asked_for(uninterrupted: Path, tmp_path: Path):
    release(ReleaseConfig(str(uninterrupted), tmp_path, "discs", "CC0-1.0"), QUIET)
    generator = load(tmp_path, "cpu")
    assert generator.config.light == LightPrior("learnt")
    stored = tiny.tensors_of(uninterrupted, 40)
    for name, value in generator.learnt_light.named_parameters():
        assert value.equal(stored[f"{WEIGHTS}{LIGHT}{name}"])
    latents, camera = generator.sample_latents(1, 0), Cameras.sample(generator.config.cameras, 1, tiny.seeded())
    shapes = generator.shapes(latents)
    own = shapes.draw(camera, 16).rgb
    assert own.equal(shapes.draw(camera, 16, light=generator.light).rgb)
    assert not own.equal(shapes.draw(camera, 16, light=STUDIO).rgb)


def test_a_run_goes_on_with_its_light_as_if_never_stopped(data: Path, tmp_path: Path, uninterrupted: Path):
    for kimg in (0.012, 0.028, 0.040):
        train(config_of(data, tmp_path, kimg=kimg), QUIET)
    want, found = tiny.tensors_of(uninterrupted, 40), tiny.tensors_of(tmp_path, 40)
    assert want.keys() == found.keys()
    assert all(tensor.equal(found[name]) for name, tensor in want.items())


def test_a_run_from_a_model_learns_its_light_further_or_anew(data: Path, tmp_path: Path, uninterrupted: Path):
    run = prepare_run(config_of(data, tmp_path / "further", init_from=uninterrupted))
    trained = tiny.tensors_of(uninterrupted, 40)[f"generator_ema.{LIGHT}axes"]
    assert start(run.config, len(run.images.objects)).generator.learnt_light.axes.equal(trained)
    # The same networks, of images in a light that is known.
    studio = tiny.write_dataset(tmp_path / "studio", views=3)
    path = studio / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"light": vars(LightPrior())}))
    run = prepare_run(config_of(studio, tmp_path / "known", init_from=uninterrupted))
    known = start(run.config, len(run.images.objects))
    assert known.generator.learnt_light is None
    assert known.generator.light == STUDIO
    weight = "synthesis.sdf_head.layers.0.weight"
    assert known.generator.get_parameter(weight).equal(tiny.tensors_of(uninterrupted, 40)[f"generator_ema.{weight}"])
    train(config_of(studio, tmp_path / "known", kimg=0.004), QUIET)
    run = prepare_run(config_of(data, tmp_path / "anew", init_from=tmp_path / "known"))
    anew = start(run.config, len(run.images.objects)).generator
    assert anew.learnt_light.axes.equal(LearntLight().axes)


def test_the_light_of_a_dataset_is_learnt_where_that_is_asked_for(data: Path, tmp_path: Path):
    root = tiny.write_dataset(tmp_path / "data")
    values = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps(values | {"light": vars(LightPrior(shading="pbr"))}))
    for materials, asked, expected in (
        ("base_color", "auto", LightPrior(shading="pbr")),
        ("base_color", "learnt", LightPrior("learnt", shading="pbr")),
        ("pbr", "learnt", LightPrior("learnt", shading="pbr")),
    ):
        config = tiny.run_config(root, tmp_path / "out", light=asked)
        run = prepare_run(replace(config, generator=replace(config.generator, materials=materials)))
        assert run.config.generator.light == expected
    with pytest.raises(InputError, match=r"--light is learnt, but with .* color the light is in the texture"):
        prepare_run(tiny.run_config(root, tmp_path / "out", light="learnt"))
    (root / "dataset.json").write_text(json.dumps(values | {"light": vars(LightPrior("learnt"))}))
    with pytest.raises(InputError, match="the light's kind is 'learnt', not one of studio, even"):
        prepare_run(config)


def test_a_file_with_another_number_of_lobes_is_no_model(tmp_path: Path):
    generator = Generator(replace(BASE_COLOR, light=LightPrior("learnt")))
    generator.learnt_light = LearntLight(8)
    path = tmp_path / "model.safetensors"
    tensors = {f"{WEIGHTS}{name}": value for name, value in generator.state_dict().items()}
    save_tensors(path, tensors, {"generator": describe(generator.config)})
    with pytest.raises(InputError, match="learnt_light"):
        load(path, "cpu")


@pytest.mark.slow
def test_a_short_run_finds_the_light_of_synthetic_objects(tmp_path: Path):
    synth = SynthConfig("vase", tmp_path / "data", shapes=10, views=10, resolution=32, workers=1, texture=256)
    synthesize(synth, QUIET)
    planes = PlanesConfig(resolution=16, channels=8, channel_base=256, channel_max=16)
    sizes = replace(BASE_COLOR, w_dim=32, grid_resolution=16, synthesis=UnifiedConfig(planes, texture_features=8))
    config = tiny.run_config(synth.out, tmp_path, batch=16, resolution=32, light="learnt", generator=sizes)
    config = replace(config, warmup_kimg=1.92, warmup=replace(config.warmup, views=4, light_learning_rate=0.05))
    run = prepare_run(config)
    state, normals = start(run.config, len(run.images.objects)), everywhere()
    begin_warmup(state, run.initial_codes())
    truth = STUDIO.diffuse(normals)

    def found() -> torch.Tensor:
        with torch.no_grad():
            return state.generator.light.diffuse(normals)

    before = (found() - truth).abs().mean()
    stream, hulls = run.images.object_batches(16, 4, seed=0), run.hulls()
    for _ in range(120):
        warmup_step(state, next(stream), run.config, hulls=hulls)
    stream.close()
    light = found()
    assert (light - truth).abs().mean() < 0.35 * before
    # Even light explains nothing of it.
    assert torch.corrcoef(torch.stack([light.mean(1), truth[:, 0]]))[0, 1] > 0.85
