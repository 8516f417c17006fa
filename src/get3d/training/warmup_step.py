"""The phase before the adversarial one: a step of it, and its end.

The generator learns as a multi-view auto-decoder. Each training object has a code in W; its shape is made once and
drawn by the cameras of a few of its images; generator and codes make the difference from these images small. These and
further objects are also held against their visual hulls, which needs neither surface nor image. Then random latents
give styles of a distribution around the codes, and such objects.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from get3d.cameras import Cameras
from get3d.color import signed_to_unit
from get3d.datasets.loader import Batch, to_network
from get3d.distributed.processes import SINGLE_PROCESS, Ranks
from get3d.generator import Generator
from get3d.isosurface import Surfaces, regularizers_of
from get3d.latents import Latents, Styles
from get3d.networks import Fields, PriorMapping
from get3d.reconstruction.codes import ObjectCodes
from get3d.reconstruction.hulls import Hulls, at_lattice, hull_loss, lattice_sdf, stratified_axis
from get3d.reconstruction.initial import InitialCodes
from get3d.reconstruction.losses import image_losses
from get3d.shapes import Shapes
from get3d.training.checkpoint import TrainingState
from get3d.training.config import TrainConfig
from get3d.training.gradients import averaging
from get3d.training.monitor import add_statistic
from get3d.training.objective import surface_loss
from get3d.training.update import finish_step, seed_of, update

__all__ = ["begin_warmup", "end_warmup", "fit_prior", "warmup_step"]

PRIOR_INTERVAL = 64
"""Steps after which the distribution of random shapes follows the codes."""

METALLIC_POINTS = 2048
"""Points of surfaces at which the prior of metals is taken."""

LAST_RATE = 0.1
"""What is left of the learning rates at the end."""


def warmup_step(
    state: TrainingState,
    batch: Batch,
    config: TrainConfig,
    ranks: Ranks = SINGLE_PROCESS,
    hulls: Hulls | None = None,
    labels: Tensor | None = None,
) -> None:
    """One batch: a few objects are drawn as their images show them; generator and codes move, then the average.

    Args:
        state: changed in place; it has codes, and their optimiser.
        batch: images of this process's share of the objects, `config.warmup.views` of each.
        config: the run's configuration.
        ranks: this process among those that share the batch.
        hulls: of the training objects; None leaves the comparison with them out.
        labels: [n] class of each object; None for no classes.

    Raises:
        FloatingPointError: too many steps in a row had a gradient that is not finite.
        RanksError: another process is lost or hangs.
    """
    assert state.codes is not None and state.warmup_optimizer is not None
    warmup, generator = config.warmup, state.generator
    device = generator.device
    step, whole = state.cur_nimg // config.batch, warmup.learns == "all"
    generator.synthesis.requires_grad_(whole)
    generator.synthesis.texture.requires_grad_(True)
    if warmup.random_interval and step % PRIOR_INTERVAL == 0:
        fit_prior(generator, state.codes, labels)
    parts = _parts(batch, config, state, device, ranks)

    def note(name: str, value: Tensor) -> None:
        add_statistic(state.sums, name, value, 1 / len(parts))

    _set_rates(state, config)
    learners = nn.ModuleList(state.warmup_learners)
    for part in parts:
        if part.random is not None:
            # A backward pass of its own, so that only these shapes or the others are in memory.
            surfaces = _random_surfaces(generator, part.random, config)
            regularizers = regularizers_of(surfaces, config.objective.regularizers)
            for name, value in regularizers.items():
                note(f"random/{name}", value)
            note("random/empty", surfaces.empty.float().mean())
            (surface_loss(regularizers, config.objective) / len(parts)).backward()
        styles = state.codes(part.objects, part.noise)
        if not whole:
            styles = Styles(styles.geometry.detach(), styles.texture)
        with config.autocast(device):
            fields = generator.fields(styles)
        shapes = generator.extract(fields)
        seen = shapes.seen_by(part.cameras, config.resolution)
        drawn = seen.images(turn=part.turn)
        losses = image_losses(drawn, to_network(part.images.to(device, non_blocking=True)), warmup.losses)
        if warmup.deflation:
            losses["deflation"] = warmup.deflation * seen.deflation()
        if hulls is not None:
            losses["hull"] = warmup.hull.weight * _hull_loss(state, part, fields, hulls, config)
        for name, value in losses.items():
            note(f"loss/{name}", value)
        surfaces = shapes.surfaces
        note("surface/empty", surfaces.empty.float().mean())
        note("surface/faces", surfaces.meshes.face_offsets.diff().float().mean())
        spread = state.codes.styles[part.objects][:, 0 if whole else 1 :].square().mean()
        note("codes/mean_square", spread)
        loss = sum(losses.values(), warmup.code_prior * spread)
        if whole:
            # Their images say what is joined: a leg that is still in beads would be eaten before it grows together, and
            # what is of several pieces would be bent until they touch.
            weights = config.objective.regularizers | {"floaters": 0.0, "gaps": 0.0}
            regularizers = regularizers_of(surfaces, weights)
            for name, value in regularizers.items():
                note(f"surface/{name}", value)
            loss = loss + surface_loss(regularizers, config.objective)
        if warmup.metallic_prior and config.generator.materials == "pbr":
            metallic = _mean_metallic(shapes)
            note("surface/metallic", metallic)
            loss = loss + warmup.metallic_prior * metallic
        with averaging(learners, ranks if part is parts[-1] else SINGLE_PROCESS):
            (loss / len(parts)).backward()
    moved = update(learners, state.warmup_optimizer, "warmup")
    finish_step(state, config, [moved], "lower --warmup.learning-rate")


@dataclass(frozen=True)
class _Part:
    """Objects of a micro-batch, the noise of their codes, and their images, on the CPU, with cameras and light.

    `others` are compared with their hulls only, at the points of a lattice of `axis`; shapes of `random` with nothing.
    `compared` are the numbers of both on the CPU, which hulls are looked up by.
    """

    objects: Tensor
    noise: Tensor
    others: Tensor
    others_noise: Tensor
    compared: Tensor
    axis: Tensor
    images: Tensor
    cameras: Cameras
    turn: Tensor | None
    random: Latents | None


def _parts(batch: Batch, config: TrainConfig, state: TrainingState, device: torch.device, ranks: Ranks) -> list[_Part]:
    """This process's share of a step in micro-batches. Noise is drawn for the whole batch, as all randomness is."""
    assert batch.object is not None and state.codes is not None
    views, hull = config.warmup.views, config.warmup.hull
    count, codes = config.batch // views, state.codes.styles
    random = torch.Generator().manual_seed(seed_of(config.seed, state.cur_nimg, "warmup"))
    # Rows of others are shared as those of objects are, so that each process and micro-batch has as many.
    noise = config.warmup.code_noise * torch.randn(count, 1 + hull.objects, *codes.shape[1:], generator=random)
    others = torch.randint(len(codes), (count, hull.objects), generator=random)
    axis = stratified_axis(hull.points, config.generator.grid_size, random).to(device)
    latents = None
    if config.warmup.random_interval and state.cur_nimg // config.batch % config.warmup.random_interval == 0:
        latents = torch.randn(2, count, config.generator.z_dim, generator=random).to(device)
    share = ranks.share(count)
    size = (share.stop - share.start) // config.grad_accum_steps
    parts = []
    for start in range(0, size * config.grad_accum_steps, size):
        images = slice(start * views, (start + size) * views)
        shown = batch.object[images][::views]
        rows = slice(share.start + start, share.start + start + size)
        label = None if batch.label is None else batch.label[images][::views].to(device, non_blocking=True)
        parts.append(
            _Part(
                objects=shown.to(device, non_blocking=True),
                noise=noise[rows, 0].to(device, non_blocking=True),
                others=others[rows].flatten().to(device, non_blocking=True),
                others_noise=noise[rows, 1:].flatten(0, 1).to(device, non_blocking=True),
                compared=torch.cat([shown, others[rows].flatten()]),
                axis=axis,
                images=batch.images[images],
                cameras=Cameras.of_prior(config.generator.cameras, batch.angles[images].to(device, non_blocking=True)),
                turn=None if batch.turn is None else batch.turn[images].to(device, non_blocking=True),
                random=None if latents is None else Latents(latents[0, rows], latents[1, rows], label),
            )
        )
    return parts


def _hull_loss(state: TrainingState, part: _Part, fields: Fields, hulls: Hulls, config: TrainConfig) -> Tensor:
    """How the shapes of a part, and those of its other objects, agree with their visual hulls."""
    assert state.codes is not None
    hull, axis = config.warmup.hull, part.axis
    sdf = [lattice_sdf(fields.geometry, axis)]
    if len(part.others):
        with config.autocast(axis.device):
            others = state.generator.fields(state.codes(part.others, part.others_noise))
        sdf.append(lattice_sdf(others.geometry, axis))
    inside, near, thin = at_lattice(hulls(part.compared), config.generator.grid_size, axis)
    return hull_loss(torch.cat(sdf), inside, near, thin, hull.sharpness, hull.thin, hull.inside)


def _mean_metallic(shapes: Shapes) -> Tensor:
    """The mean metallic value of surfaces, from 0 to 1, at some of their vertices."""
    meshes = shapes.meshes
    some = slice(None, None, max(len(meshes.vertices) // METALLIC_POINTS, 1))
    values = shapes.fields.texture.at_packed(meshes.vertices[some].detach(), meshes.vertex_shape[some])
    return signed_to_unit(values["metallic"]).clamp(0, 1).mean()


def _random_surfaces(generator: Generator, latents: Latents, config: TrainConfig) -> Surfaces:
    """The surfaces of random shapes."""
    with config.autocast(generator.device):
        fields = generator.fields(generator.styles(latents))
    return generator.extract(fields).surfaces


def _set_rates(state: TrainingState, config: TrainConfig) -> None:
    """Over the second half of the phase the learning rates fall by half a cosine."""
    assert state.warmup_optimizer is not None
    progress = min(max(2 * state.cur_nimg / config.warmup_total - 1, 0.0), 1.0)
    left = LAST_RATE + (1 - LAST_RATE) * (0.5 + 0.5 * math.cos(math.pi * progress))
    warmup = config.warmup
    rates = [warmup.learning_rate, warmup.code_learning_rate]
    if state.generator.learnt_light is not None:
        rates.append(warmup.light_learning_rate)
    for group, rate in zip(state.warmup_optimizer.param_groups, rates, strict=True):
        group["lr"] = rate * left


def begin_warmup(state: TrainingState, initial: InitialCodes) -> None:
    """Gives the codes, and the waves of textures, the values that they begin with.

    Args:
        state: changed in place; it has codes.
        initial: the values.
    """
    assert state.codes is not None
    state.codes.styles.data.copy_(initial.styles)
    for generator in (state.generator, state.generator_ema):
        waves, device = generator.synthesis.waves, generator.device
        if waves is not None and initial.weight is not None and initial.bias is not None:
            waves.set_colors(initial.weight.to(device), initial.bias.to(device))


def end_warmup(state: TrainingState, labels: Tensor) -> None:
    """Puts the distributions of random styles around the codes, which do not change any more.

    Args:
        state: changed in place.
        labels: [n] class of each object.
    """
    fit_prior(state.generator, state.codes, labels)
    fit_prior(state.generator_ema, state.codes, labels)
    state.warmup_optimizer = None


def fit_prior(generator: Generator, codes: ObjectCodes | None, labels: Tensor | None) -> None:
    """Gives a generator the distributions around the codes as they are now."""
    assert codes is not None
    if labels is None:
        labels = torch.zeros(len(codes.styles), dtype=torch.long)
    for number, mapping in enumerate((generator.mapping_geometry, generator.mapping_texture)):
        assert isinstance(mapping, PriorMapping)
        mapping.fit(codes.styles.detach()[:, number], labels)
