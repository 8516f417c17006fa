"""The stages of a training step, forward and backward each, and the whole step beside their sum.

The step is done stage by stage with the parts that the training loop uses, its graph cut between the stages: a stage
gets copies of what the ones before it made, and its backward pass starts from the gradients that gathered in the copies
of what it made itself. Sum and whole agree where nothing is left out.
"""

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from rich.console import Console
from torch import Tensor

from get3d.authoring.procedural import SynthConfig, synthesize
from get3d.benchmarks.rows import Row, at_most
from get3d.benchmarks.timing import Stopwatch
from get3d.cameras import Cameras
from get3d.datasets.loader import Batch, ImageDataset, to_network
from get3d.generator import BACKGROUND, mix
from get3d.isosurface import Isosurface, Surfaces
from get3d.materials import BASE_COLOR
from get3d.networks import GeometryField, GeometryValues
from get3d.render import interpolate, mask_of, rasterize
from get3d.training.checkpoint import TrainingState
from get3d.training.config import TrainConfig, prepare_run
from get3d.training.ema import update_average
from get3d.training.loop import start, train_step, update
from get3d.training.objective import discriminator_loss, generator_loss, gradient_penalty, surface_loss

__all__ = ["WHOLE", "make_dataset", "rows"]

DATA, PLANES, GRID = "data loading", "mapping and planes", "fields on the grid"
EXTRACTION, RASTER, TEXTURE = "extraction", "rasterising and mask", "texture at covered pixels"
JUDGED, TAUGHT, R1 = "discriminator", "discriminator, for the generator", "R1"
UPDATE = "optimisers and average"
STAGES = (DATA, PLANES, GRID, EXTRACTION, RASTER, TEXTURE, JUDGED, TAUGHT, R1, UPDATE)
SURFACE_STAGES = (GRID, EXTRACTION, RASTER, TEXTURE)

FORWARD, BACKWARD = "forward", "backward"
STEP, STEP_WITH_R1 = "a step", "a step with R1"
WHOLE = "the step itself"
"""The time by this name, in one of the rows, is that of a whole step."""

T = TypeVar("T")


def rows(preset: str, config: TrainConfig, repeats: int, warm: int) -> list[Row]:
    """The stages of a step of a young run on a few procedural chairs.

    Args:
        preset: name of the configuration.
        config: what is trained.
        repeats: of each measurement.
        warm: steps trained before. Random networks begin with far more surface than training sees soon after.
    """
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "data", Path(folder) / "run"
        make_dataset(data, config)
        run = prepare_run(replace(config, data=data, out=out))
        measured = _measure(run.config, run.images, repeats, warm)
    return _rows(preset, run.config, measured, warm)


def make_dataset(folder: Path, config: TrainConfig) -> None:
    """Ten objects, the fewest of which some are held out; images enough for a few batches."""
    views = -(-2 * config.batch // 7)
    settings = SynthConfig(
        "chair", folder, shapes=10, views=views, resolution=config.resolution, texture=256, workers=1
    )
    synthesize(settings, Console(quiet=True))


@dataclass(frozen=True)
class _Measured:
    """A step, taken apart.

    Attributes:
        medians: seconds of each stage and direction, and of whole steps with and without R1.
        faces: of a shape, in the mean.
    """

    medians: dict[str, float]
    faces: float


def _measure(config: TrainConfig, images: ImageDataset, repeats: int, warm: int) -> _Measured:
    """Times stages and whole steps, which take turns."""
    state = start(config)
    device = next(state.generator.parameters()).device
    stream = images.batches(config.batch, config.seed)
    for _ in range(warm):
        train_step(state, next(stream), config)
    unused, watch = Stopwatch(device), Stopwatch(device)
    faces = 0.0
    for turn in range(repeats + 1):
        chosen = watch if turn else unused
        faces += _staged_step(state, stream, config, chosen) / (repeats + 1)
        for name, shown in ((STEP, config.batch), (STEP_WITH_R1, 0)):
            state.cur_nimg = shown
            with chosen.lap(name):
                train_step(state, next(stream), config)
    return _Measured(watch.medians, faces)


def _rows(preset: str, config: TrainConfig, measured: _Measured, warm: int) -> list[Row]:
    medians = measured.medians
    group = (
        f"A training step of the preset {preset}, after {warm} others: {config.batch} images of {config.resolution}²"
    )
    interval = config.objective.r1_interval
    part = {stage: 1 / interval if stage == R1 else 1.0 for stage in STAGES}
    seconds = {
        stage: {
            way: part[stage] * medians[f"{stage} {way}"] for way in (FORWARD, BACKWARD) if f"{stage} {way}" in medians
        }
        for stage in STAGES
    }
    total = sum(sum(ways.values()) for ways in seconds.values())
    whole = medians[STEP] + (medians[STEP_WITH_R1] - medians[STEP]) / interval
    surface = sum(sum(seconds[stage].values()) for stage in SURFACE_STAGES)
    notes = {R1: f"taken every {interval} steps; a step's part of it"}
    return [
        *(
            Row(group, stage, sum(ways.values()), ways, sum(ways.values()) / total, "%", note=notes.get(stage, ""))
            for stage, ways in seconds.items()
        ),
        Row(group, "sum of the stages, and the whole step", total, {WHOLE: whole}, total / whole, "%"),
        Row(
            group,
            "rasterising, extraction and field lookup together",
            surface,
            result=surface / total,
            unit="%",
            goal=at_most(0.3),
            note=f"{', '.join(SURFACE_STAGES)}; {measured.faces:,.0f} faces a shape",
        ),
    ]


@dataclass(frozen=True)
class _Cut:
    """Where the graph is cut: what a stage made, and copies of it that start a graph of their own.

    Attributes:
        made: the tensors with a gradient.
        copies: of each.
    """

    made: list[Tensor] = field(default_factory=list)
    copies: list[Tensor] = field(default_factory=list)

    def copy(self, value: T) -> T:
        """The value with its tensors copied; looks into dataclasses, tuples and dictionaries."""
        return self._copy(value)

    def _copy(self, value: Any) -> Any:
        if isinstance(value, Tensor) and value.requires_grad:
            self.made.append(value)
            self.copies.append(value.detach().requires_grad_(True))
            return self.copies[-1]
        if isinstance(value, tuple):
            return tuple(self._copy(item) for item in value)
        if isinstance(value, dict):
            return {name: self._copy(item) for name, item in value.items()}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            parts = {part.name: self._copy(getattr(value, part.name)) for part in dataclasses.fields(value)}
            return dataclasses.replace(value, **parts)
        return value

    def backward(self) -> None:
        """Goes on with the backward pass where the copies' graph left it."""
        pairs = [(made, copy.grad) for made, copy in zip(self.made, self.copies, strict=True) if copy.grad is not None]
        torch.autograd.backward([made for made, _ in pairs], [gradient for _, gradient in pairs])


@dataclass(frozen=True)
class _LookedUp:
    """A geometry field whose values on the lattices are known already.

    Attributes:
        field: the field itself, for everywhere else.
        values: of each lattice.
        weights: of the cells; none where the isosurface wants none.
    """

    field: GeometryField
    values: tuple[GeometryValues, ...]
    weights: Float[Tensor, "n c k"] | None

    def at(self, points: Float[Tensor, "n p 3"]) -> GeometryValues:
        return self.field.at(points)

    def on_lattices(self, axes: Sequence[Float[Tensor, " _m"]]) -> list[GeometryValues]:
        return list(self.values)

    def cell_values(self, axis: Float[Tensor, " m"]) -> Float[Tensor, "n c k"]:
        return self.field.cell_values(axis) if self.weights is None else self.weights


def _staged_step(state: TrainingState, stream: Iterator[Batch], config: TrainConfig, watch: Stopwatch) -> float:
    """What `train_step` does, stage by stage, R1 included; gives the mean number of faces of its shapes."""
    generator, discriminator = state.generator, state.discriminator
    device, count = watch.device, config.batch
    cameras = Cameras.sample(config.generator.cameras, count, torch.Generator().manual_seed(0)).to(device)
    fake_angles = cameras.angles
    latents = [generator.sample_latents(count, seed) for seed in (0, count)]
    with watch.lap(f"{DATA} {FORWARD}"):
        batch = next(stream)
        images, angles = to_network(batch.images.to(device)), batch.angles.to(device)

    cuts = {stage: _Cut() for stage in (PLANES, GRID, EXTRACTION, RASTER, TEXTURE)}
    with watch.lap(f"{PLANES} {FORWARD}"):
        first, second = (generator.styles(codes) for codes in latents)
        styles = mix(first, second, torch.full((count, 2), 0.5, device=device))
        with config.autocast(device):
            fields = cuts[PLANES].copy(generator.fields(styles))
    with watch.lap(f"{GRID} {FORWARD}"):
        looked_up = cuts[GRID].copy(_look_up(fields.geometry, generator.isosurface))
    with watch.lap(f"{EXTRACTION} {FORWARD}"):
        surfaces: Surfaces = cuts[EXTRACTION].copy(generator.isosurface(looked_up))
    with watch.lap(f"{RASTER} {FORWARD}"):
        fragments = rasterize(surfaces.meshes, cameras, config.resolution)
        mask = cuts[RASTER].copy(mask_of(surfaces.meshes, fragments))
    with watch.lap(f"{TEXTURE} {FORWARD}"):
        with torch.no_grad():
            points = interpolate(surfaces.meshes.vertices, surfaces.meshes.faces, fragments)
        colors = fields.texture.at_packed(points, fragments.shape)[BASE_COLOR]
        rgb = cuts[TEXTURE].copy(fragments.scatter(colors, BACKGROUND))
    fakes = torch.cat([rgb, mask], dim=1)

    discriminator.requires_grad_(True)
    with watch.lap(f"{JUDGED} {FORWARD}"), config.autocast(device):
        fake, real = discriminator(fakes.detach(), fake_angles), discriminator(images, angles)
        loss = discriminator_loss(real, fake)
    with watch.lap(f"{JUDGED} {BACKWARD}"):
        loss.backward()
    with watch.lap(f"{R1} {FORWARD}"), config.autocast(device):
        images = images.requires_grad_(True)
        penalty = gradient_penalty(discriminator.forward(images, angles), images)
    with watch.lap(f"{R1} {BACKWARD}"):
        penalty.backward()
    discriminator.requires_grad_(False)
    with watch.lap(f"{TAUGHT} {FORWARD}"), config.autocast(device):
        loss = generator_loss(discriminator(fakes, fake_angles)) + surface_loss(surfaces, config.objective)
    with watch.lap(f"{TAUGHT} {BACKWARD}"):
        loss.backward()
    for stage, cut in reversed(cuts.items()):
        with watch.lap(f"{stage} {BACKWARD}"):
            cut.backward()
    with watch.lap(f"{UPDATE} {FORWARD}"):
        _update(state, config)
    return len(surfaces.meshes.faces) / count


def _update(state: TrainingState, config: TrainConfig) -> None:
    """Both optimisers' steps, with the check of the gradients, and the average."""
    for network, optimizer in (
        (state.discriminator, state.discriminator_optimizer),
        (state.generator, state.generator_optimizer),
    ):
        update(network, optimizer, type(network).__name__)
    update_average(
        state.generator_ema,
        state.generator,
        cur_nimg=config.batch,
        batch=config.batch,
        half_life=1000 * config.ema_half_life,
        ramp_up=config.ema_ramp_up,
    )


def _look_up(geometry: GeometryField, isosurface: Isosurface) -> _LookedUp:
    """The field, with its values on the grid."""
    axes = isosurface.grid.lattices
    values = tuple(geometry.on_lattices(axes))
    return _LookedUp(geometry, values, geometry.cell_values(axes[0]) if isosurface.cell_values else None)
