"""A program: every command and public call on a second device that is none (see shadow.py), and mistakes that it finds.

Prints a line of JSON: for each scenario null, or what went wrong.
"""

import hashlib
import json
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import shadow

shadow.install()

import torch  # noqa: E402
import trimesh  # noqa: E402
from rich.console import Console  # noqa: E402

import datasets  # noqa: E402
import get3d  # noqa: E402
import photographed  # noqa: E402
import tiny  # noqa: E402
from get3d.authoring.from_meshes.command import render_models  # noqa: E402
from get3d.authoring.from_meshes.config import RenderConfig  # noqa: E402
from get3d.checkpoints.model import WEIGHTS, load  # noqa: E402
from get3d.datasets.loader import Batch  # noqa: E402
from get3d.evaluation.metric_table import METRICS  # noqa: E402
from get3d.evaluation.report import EvaluateConfig, evaluate  # noqa: E402
from get3d.fitting.config import FitConfig, ReconstructConfig  # noqa: E402
from get3d.fitting.fit import fit  # noqa: E402
from get3d.fitting.optimisation import Reconstruction  # noqa: E402
from get3d.fitting.reconstruct import read_object, reconstruct  # noqa: E402
from get3d.generation.config import GenerateConfig, InterpolateConfig, VaryConfig  # noqa: E402
from get3d.generation.generate import generate  # noqa: E402
from get3d.generation.interpolation import interpolate, vary  # noqa: E402
from get3d.generator import Generator, mix  # noqa: E402
from get3d.metrics.feature_networks import NETWORKS  # noqa: E402
from get3d.metrics.features import FeatureNetwork  # noqa: E402
from get3d.metrics.kernel_ops import match_descriptors  # noqa: E402
from get3d.metrics.quality import mesh_quality  # noqa: E402
from get3d.networks import PlanesConfig, PriorMapping, SeparateConfig, VolumeConfig  # noqa: E402
from get3d.presets import PRESETS  # noqa: E402
from get3d.render import visible_faces  # noqa: E402
from get3d.storage import describe, save_tensors, with_prefix  # noqa: E402
from get3d.training import loop  # noqa: E402
from get3d.training.loop import start, train, train_step  # noqa: E402
from get3d.training.update import finish_step, update  # noqa: E402

DEVICE = str(shadow.SHADOW)
SYNCHRONISATIONS, OPERATIONS = 11, 8000
"""Of an adversarial step of `demo` in both phases, without R1 and floaters."""

OF_FLOATERS = 7
"""More synchronisations with floaters, whose components the host finds."""

QUIET = Console(quiet=True)
SEPARATE = SeparateConfig(
    volume=VolumeConfig(8, 64, 8, hidden=16),
    planes=PlanesConfig(resolution=8, channels=4, channel_base=64, channel_max=8),
)
Scenario = Callable[[Path], None]
WORK: dict[str, Scenario] = {}
MISTAKES: dict[str, Scenario] = {}


def scenario(table: dict[str, Scenario]) -> Callable[[Scenario], Scenario]:
    def noted(function: Scenario) -> Scenario:
        table[function.__name__] = function
        return function

    return noted


def steps(out: Path, *, count: int = 2, label: torch.Tensor | None = None, **changes: object) -> Any:
    """Steps of training, R1 in the first."""
    config = tiny.run_config(out, out, device=DEVICE, **changes)
    state = start(config)
    images = torch.randint(0, 256, (4, 4, 16, 16), generator=tiny.seeded()).to(torch.uint8)
    for _ in range(count):
        train_step(state, Batch(images, torch.ones(4, 2), label), config)
    assert state.nonfinite_steps == 0
    assert all(isinstance(tensor, shadow.Shadow) for tensor in state.generator.state_dict().values())
    return state


def model(folder: Path, **changes: object) -> Path:
    """A saved model whose random fields have both signs."""
    torch.manual_seed(3)
    generator = Generator(replace(tiny.GENERATOR, **changes)).requires_grad_(False)
    generator.estimate_mean_styles(samples=100)
    sdf = generator.field(generator.sample_latents(4, 0), 0.7).sdf(generator.isosurface.grid.vertices.expand(4, -1, -1))
    generator.synthesis.sdf_head.layers[-1].bias -= sdf.median()
    path = folder / "model.safetensors"
    save_tensors(path, with_prefix(WEIGHTS, generator.state_dict()), {"generator": describe(generator.config)})
    return path


@scenario(WORK)
def training_with_tetrahedra(out: Path) -> None:
    steps(out)


@scenario(WORK)
def training_with_flexicubes(out: Path) -> None:
    steps(out, generator=replace(tiny.GENERATOR, isosurface="flexicubes"))


@scenario(WORK)
def training_separate_networks(out: Path) -> None:
    steps(out, generator=replace(tiny.GENERATOR, synthesis=SEPARATE))


@scenario(WORK)
def training_separate_networks_with_flexicubes(out: Path) -> None:
    steps(out, generator=replace(tiny.GENERATOR, synthesis=SEPARATE, isosurface="flexicubes"))


@scenario(WORK)
def training_with_classes(out: Path) -> None:
    steps(out, generator=replace(tiny.GENERATOR, classes=("cup", "jug")), label=torch.tensor([0, 1, 1, 0]))


@scenario(WORK)
def training_in_micro_batches(out: Path) -> None:
    steps(out, grad_accum_steps=2)


@scenario(WORK)
def training_in_bf16(out: Path) -> None:
    state = steps(out, precision="bf16")
    full = steps(out)
    assert all(tensor.dtype == torch.float32 for tensor in state.generator.parameters())
    assert not torch.equal(state.sums["loss/r1"], full.sums["loss/r1"])


@scenario(WORK)
def a_gradient_that_is_not_finite_moves_nothing(out: Path) -> None:
    config = tiny.run_config(out, out, device=DEVICE)
    state = start(config)
    network, before = state.generator, [tensor.clone() for tensor in state.generator.parameters()]
    for bad in (True, False):
        for tensor in network.parameters():
            tensor.grad = torch.ones_like(tensor)
        if bad:
            network.synthesis.sdf_head.layers[-1].bias.grad[0] = torch.nan
        moved = update(network, state.generator_optimizer, "generator")
        finish_step(state, config, [moved], "")
        assert state.nonfinite_steps == bad
        same = [torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True)]
        assert all(same) if bad else not any(same)
    (steps_taken,) = {float(moments["step"]) for moments in state.generator_optimizer.state.values()}
    assert steps_taken == 1


@scenario(WORK)
def a_step_lets_the_host_wait_seldom(out: Path) -> None:
    """The pinned numbers are those of `demo`; images copied to the device from pinned memory do not wait."""
    config = replace(PRESETS["demo"].config, data=out, out=out, device=DEVICE, batch=4)
    state = start(config, objects=8)
    images = torch.randint(0, 256, (4, 4, 64, 64), generator=tiny.seeded()).to(torch.uint8)
    batch = Batch(images, torch.ones(4, 2))
    # After the warm-up and the discriminator's head start; R1 is in the first of the two steps.
    state.cur_nimg = -(-config.generator_from // 64) * 64
    train_step(state, batch, config)
    with shadow.counting() as counts:
        train_step(state, batch, config)
    waits, most = counts.synchronisations, SYNCHRONISATIONS + OF_FLOATERS
    assert waits.total() <= most, f"{waits.total()} synchronisations with floaters: {dict(waits)}"
    without = {name: weight for name, weight in config.objective.regularizers.items() if name != "floaters"}
    config = replace(config, objective=replace(config.objective, regularizers=without))
    state.cur_nimg = -(-config.generator_from // 64) * 64 + config.batch
    with shadow.counting() as counts:
        train_step(state, batch, config)
    waits = counts.synchronisations
    assert waits.total() <= SYNCHRONISATIONS, f"{waits.total()} synchronisations: {dict(waits)}"
    operations = counts.operations
    assert operations.total() <= OPERATIONS, f"{operations.total()} operations: {operations.most_common(20)}"
    sys.stderr.write(f"{waits.total()} synchronisations, {operations.total()} operations, {dict(waits)}\n")


@scenario(WORK)
def a_run_with_every_metric_and_its_resumption(out: Path) -> None:
    data = datasets.make_boxes(out / "data", 30)
    names = tuple(name for name, row in METRICS.items() if _of_snapshots(name, row))
    names = ("swd", *(name for name in names if name != "swd"))
    config = tiny.run_config(data, out / "run", device=DEVICE, kimg=0.008, metrics=names, metric_objects=2)
    config = replace(config, snapshot_kimg=0.004, log_kimg=0.004)
    train(config, QUIET)
    train(replace(config, kimg=0.012), QUIET)
    lines = [json.loads(line) for line in (config.out / "stats.jsonl").read_text().splitlines()]
    assert [line["cur_nimg"] for line in lines] == [4, 8, 12]
    assert {"swd", "fid", "mmd_cd", "mmd_lfd", "watertight"} <= lines[-1].keys(), lines[-1].keys()


@scenario(WORK)
def a_run_with_a_warm_up_of_learnt_light_and_its_resumption(out: Path) -> None:
    """Snapshots and checkpoints in the warm-up put random styles around the codes, and so does its end."""
    data = tiny.write_dataset(out / "data", views=3)
    generator = replace(tiny.GENERATOR, materials="base_color")
    config = tiny.run_config(data, out / "run", device=DEVICE, kimg=0.008, warmup_kimg=0.012, generator=generator)
    config = replace(config, snapshot_kimg=0.004, log_kimg=0.004)
    train(config, QUIET)
    train(replace(config, kimg=0.016), QUIET)
    found = load(config.out, DEVICE)
    styles = found.styles(found.sample_latents(4, 0), per_layer=False)
    assert isinstance(found.mapping_geometry, PriorMapping)
    assert bool(styles.geometry.isfinite().all()) and float(styles.texture.std()) > 0


@scenario(WORK)
def a_run_that_grows_and_gets_waves(out: Path) -> None:
    """Textures only, on the shapes of a model of a warm-up: anew, and again with more waves."""
    data = tiny.write_dataset(out / "data", views=3)
    config = tiny.run_config(data, out / "first", device=DEVICE, kimg=0.008, warmup_kimg=0.008)
    train(config, QUIET)
    config = replace(config, grow_planes=16, warmup=replace(config.warmup, learns="texture"))
    train(replace(config, out=out / "waves", init_from=out / "first", grow_frequencies=1), QUIET)
    train(replace(config, out=out / "more", init_from=out / "waves", grow_frequencies=2), QUIET)
    assert load(out / "more", DEVICE).config.synthesis.texture_frequencies == 2


def _of_snapshots(name: str, row: Any) -> bool:
    from get3d.evaluation.snapshot_metrics import require_metrics

    try:
        require_metrics(("swd", name))
    except get3d.InputError:
        return False
    return "efficientnet" not in row.needs


QUICK = {"resolution": 16, "texture": 16, "faces": 60, "device": DEVICE}


@scenario(WORK)
def generating(out: Path) -> None:
    generate(GenerateConfig(str(model(out)), out / "made", num=2, **QUICK), QUIET)
    assert len(list((out / "made").rglob("*.glb"))) == 2


@scenario(WORK)
def interpolating(out: Path) -> None:
    config = InterpolateConfig(str(model(out)), out / "way", num=2, frames=2, swaps=2, **QUICK)
    interpolate(config, QUIET)
    interpolate(replace(config, space="w", out=out / "straight"), QUIET)


@scenario(WORK)
def varying(out: Path) -> None:
    vary(VaryConfig(str(model(out)), out / "like", num=2, **QUICK), QUIET)


@scenario(WORK)
def evaluating(out: Path) -> None:
    data = datasets.make_boxes(out / "data", 40)
    config = EvaluateConfig((str(model(out)),), data, out / "evaluation", references=2, ratio=2, points=64)
    config = replace(config, train_objects=2, images=4, textures=1, device=DEVICE, inception=None)
    evaluate(config, QUIET)
    evaluate(replace(config, protocol="published", outer_surface=True, out=out / "published", textures=0), QUIET)


@scenario(WORK)
def rendering(out: Path) -> None:
    (out / "models").mkdir()
    for number in range(2):
        trimesh.creation.icosphere(1, radius=1 + number).export(out / "models" / f"{number}.glb")
    render_models(RenderConfig(out / "models", out / "data", views=2, resolution=16, device=DEVICE), QUIET)
    assert len(list((out / "data").rglob("*.png"))) == 4


@scenario(WORK)
def fitting_with_and_without_cameras(out: Path) -> None:
    data = photographed.write_box(out / "data", views=4, resolution=16)
    images = tuple((data / "images" / "box").iterdir())[:2]
    config = FitConfig(str(model(out)), out / "known", images=images, cameras=data / "cameras.csv", starts=2, **QUICK)
    fit(replace(config, steps=3, tune=True), QUIET)
    fit(replace(config, steps=2, cameras=None, out=out / "unknown"), QUIET)


@scenario(WORK)
def reconstructing(out: Path) -> None:
    data = photographed.write_box(out / "data", views=4, resolution=16)
    config = ReconstructConfig(data, "box", out / "made", grids=(6, 8), steps=3, texture=16, device=DEVICE)
    config = replace(config, views=2, planes=8, faces=60)
    reconstruct(config, QUIET)
    reconstruct(replace(config, isosurface="tetrahedra", out=out / "tetrahedra"), QUIET)
    views = read_object(config).to(torch.device(DEVICE))
    half = Reconstruction(views, torch.arange(4, device=DEVICE), config)
    half.advance()
    Reconstruction(views, torch.arange(4, device=DEVICE), config, half.stored()).advance()


@scenario(WORK)
def public_calls(out: Path) -> None:
    generator = load(str(model(out)), device=DEVICE)
    latents = generator.sample_latents(2, 0)
    styles = mix(generator.styles(latents), generator.styles(latents), torch.full((2, 2), 0.5, device=DEVICE))
    for codes in (latents, styles):
        points = torch.zeros(2, 5, 3, device=DEVICE, requires_grad=True)
        field = generator.field(codes)
        sums = [value.sum() for value in (field.sdf(points), field.deformation(points), field.color(points))]
        torch.stack(sums).sum().backward()
        assert isinstance(points.grad, shadow.Shadow)
    cameras = get3d.Cameras.sample(tiny.GENERATOR.cameras, 2, tiny.seeded()).to(DEVICE)
    assert isinstance(generator.render(latents, cameras, 16).rgb, shadow.Shadow)
    meshes = generator.meshes(latents)
    assert isinstance(meshes.vertex_normals(), shadow.Shadow)
    assert len(meshes.split()) == len(meshes[torch.tensor([1, 0], device=DEVICE)]) == 2
    assert generator.textured(latents)[0].vertices.device.type == "cpu"
    pair = meshes.split()
    described = get3d.metrics.light_field_descriptors(pair)
    assert float(get3d.metrics.light_field_distance(described, described).diagonal().sum()) == 0
    mesh_quality(pair[0])


@scenario(WORK)
def ranges_and_unit_matrices_are_those_of_a_cpu(out: Path) -> None:
    kinds = [(torch.arange, ends) for ends in ((4,), (2, 7), (1, 0, -0.25), (0,))]
    kinds += [(torch.eye, (3,)), (torch.eye, (2, 4))]
    for factory, sizes in kinds:
        for dtype in (None, torch.float64):
            made, plain = factory(*sizes, dtype=dtype, device=DEVICE), factory(*sizes, dtype=dtype)
            assert isinstance(made, shadow.Shadow)
            assert made.shape == plain.shape
            assert made.dtype == plain.dtype
            assert torch.equal(made.cpu(), plain)


@scenario(WORK)
def a_size_that_it_cannot_change_is_said(out: Path) -> None:
    try:
        torch.zeros(2, device=DEVICE).resize_(5)
    except NotImplementedError as error:
        assert "size" in str(error)
    else:
        raise AssertionError("a tensor kept the wrong size")


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Any:
    kept = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield kept
    finally:
        setattr(owner, name, kept)


@scenario(MISTAKES)
def a_forgotten_to(out: Path) -> None:
    plain = loop.to_network
    with replaced(loop, "to_network", lambda images: plain(images.cpu())):
        steps(out, count=1)


@scenario(MISTAKES)
def a_cpu_generator(out: Path) -> None:
    torch.randn(3, device=DEVICE, generator=torch.Generator())


@scenario(MISTAKES)
def a_cpu_generator_in_place(out: Path) -> None:
    torch.empty(3, device=DEVICE).normal_(generator=torch.Generator())


@scenario(MISTAKES)
def numpy_of_a_device_tensor(out: Path) -> None:
    torch.zeros(3, device=DEVICE).numpy()


@scenario(MISTAKES)
def an_array_of_a_device_tensor(out: Path) -> None:
    import numpy as np

    np.asarray(torch.zeros(3, device=DEVICE))


@scenario(MISTAKES)
def a_type_that_warp_does_not_take(out: Path) -> None:
    faces, offsets = torch.tensor([[0, 1, 2]], device=DEVICE), torch.tensor([0, 1], device=DEVICE)
    visible_faces(torch.ones(3, 3, device=DEVICE, dtype=torch.float64), faces, offsets, 4, 4)


@scenario(MISTAKES)
def a_type_that_a_metrics_kernel_does_not_take(out: Path) -> None:
    a, b = torch.zeros(1, 100, 47, device=DEVICE).half(), torch.zeros(1, 47, 10, 10, device=DEVICE)
    match_descriptors(a, b, torch.zeros(60, 10, dtype=torch.int32, device=DEVICE))


@scenario(MISTAKES)
def a_kernel_given_tensors_of_two_devices(out: Path) -> None:
    faces, offsets = torch.tensor([[0, 1, 2]]), torch.tensor([0, 1], device=DEVICE)
    visible_faces(torch.ones(3, 3, device=DEVICE), faces, offsets, 4, 4)


class StandIn(torch.nn.Module):
    """In place of the Inception network."""

    def forward(self, images: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        return images.float().mean(dim=(2, 3))


def _of(found: dict[str, str | None], table: dict[str, Scenario]) -> dict[str, str | None]:
    return {name: error for name, error in found.items() if name in table}


def main(wanted: list[str]) -> None:
    torch.set_num_threads(1)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.pt"
        torch.jit.save(torch.jit.script(StandIn()), path)
        key = hashlib.sha256(path.read_bytes()).hexdigest()
        NETWORKS["inception"] = replace(
            NETWORKS["inception"], open=lambda: FeatureNetwork(path, key), there=lambda: True
        )
        NETWORKS["efficientnet"] = replace(NETWORKS["efficientnet"], there=lambda: False)
        for name, work in (WORK | MISTAKES).items():
            if wanted and name not in wanted:
                continue
            out = Path(folder) / name
            out.mkdir()
            try:
                work(out)
                found[name] = None
            except Exception as error:
                found[name] = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
    print(json.dumps({"work": _of(found, WORK), "mistakes": _of(found, MISTAKES)}))


if __name__ == "__main__":
    main(sys.argv[1:])
