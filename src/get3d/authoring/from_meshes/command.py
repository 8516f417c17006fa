"""The render command: each model becomes an object of a dataset, or is left out with a reason."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from rich.console import Console
from torch import Tensor

from get3d.assets.asset import Asset
from get3d.assets.blender import draw_in_blender, find_blender
from get3d.assets.files import LIMITS, time_limit
from get3d.assets.loading import load_asset
from get3d.assets.shading import shade
from get3d.authoring.dataset_writer import (
    begin,
    draw_angles,
    draw_turns,
    in_processes,
    progress_bar,
    require_room,
    worker_count,
    write_images,
)
from get3d.authoring.from_meshes.config import RenderConfig, command_line, settings
from get3d.authoring.from_meshes.fit import largest_fit
from get3d.authoring.from_meshes.model_files import Found, Source, find_models
from get3d.authoring.from_meshes.outcome import Outcome, done, mesh_path, note, show
from get3d.authoring.from_meshes.transforms import write_transforms
from get3d.cameras import Cameras
from get3d.datasets.camera_table import write_cameras, write_published_cameras
from get3d.datasets.index import SPLITS, Description, read_splits
from get3d.devices import device_named
from get3d.distributed.processes import Ranks, joined
from get3d.files import InputError, contained, writing
from get3d.light_prior import LightPrior
from get3d.render.lights import LIGHTS

__all__ = ["Outcome", "render_models", "validate"]

_NOTED_EVERY = 10.0
"""Interval in seconds for recording progress; a killed run repeats at most this much work."""


@dataclass(frozen=True)
class _Begun:
    """A new or resumed dataset.

    Attributes:
        before: what its `dataset.json` said; None for a new one.
        models: the folder that all files are in.
        outcomes: of files that an earlier run has rendered, or that are left out unopened.
        todo: the others.
    """

    before: Description | None
    models: Path
    outcomes: list[Outcome]
    todo: list[Source]


def render_models(config: RenderConfig, console: Console) -> Path:
    """Makes a dataset folder, or resumes an incomplete one. Prints what was left out, and returns the path.

    If the environment names several processes (as torchrun sets it), all of them call this function, and divide the
    models.

    Raises:
        InputError: there are no models, none can be rendered, or the folder cannot be written to, has no room, or
            contains a dataset made with other settings.
        RanksError: another process is lost or hangs; the message names it.
    """
    with joined(config.ranks, config.device) as ranks:
        ranks.require_agreement(lambda: _require_renderer(config))
        begun = ranks.from_first(lambda: _begin(config))
        ranks.require_agreement(lambda: _require_models(begun))
        ranks.require_same(config.out)
        made = ranks.gather(_made(config, begun, ranks.console(console), ranks))
        ranks.from_first(lambda: _end(config, begun, [*begun.outcomes, *chain(*made)], console))
    return config.out


def validate(config: RenderConfig) -> None:
    """Checks whether the models can be rendered, as far as possible before processes are started.

    Raises:
        InputError: as `render_models`.
    """
    _require_renderer(config)
    found = find_models(config.assets)
    _chosen([_placed(source, config) for source in found.sources], found, config)
    begin(config.out, _describe(config, {split: [] for split in SPLITS}))


def _require_renderer(config: RenderConfig) -> None:
    device_named(config.device)
    if config.renderer == "blender":
        find_blender(config.blender)


def _require_models(begun: _Begun) -> None:
    for source in begun.todo[:1]:
        if not (begun.models / source.file).exists():
            raise InputError(f"{begun.models / source.file}: no such file; all machines must have the models")


def _begin(config: RenderConfig) -> _Begun:
    """Begins the dataset, or goes on with it, for all processes."""
    root = config.out
    found = find_models(config.assets)
    sources = [_placed(source, config) for source in found.sources]
    chosen, left = _chosen(sources, found, config)
    description = _describe(config, {split: [] for split in SPLITS})
    before = begin(root, description)
    outcomes = {outcome.file: outcome for outcome in [*done(root), *left]}
    require_room(root, sum(source.file not in outcomes for source in chosen), config.views, config.resolution)
    if before is None:
        description.write(root)
    (root / "cameras.csv").unlink(missing_ok=True)
    note(root, config, outcomes.values())
    for path in root.glob("report-*.json"):
        path.unlink()
    todo = [source for source in chosen if source.file not in outcomes]
    return _Begun(before, found.root, list(outcomes.values()), todo)


def _made(config: RenderConfig, begun: _Begun, console: Console, ranks: Ranks) -> list[Outcome]:
    """Renders this process's share, and gives what became of each model."""
    root, total = config.out, len(begun.todo)
    own = config
    if ranks.world > 1 and device_named(config.device).type == "cuda":
        # The workers of this process must draw where it does.
        own = replace(config, device=f"cuda:{torch.cuda.current_device()}")
    workers = worker_count(config.workers, total, ranks.local)
    threads = max(1, (os.cpu_count() or 1) // (workers * ranks.local))
    # Models are taken in order, so those before one that is done are done, too, or in other hands.
    place = {source.file: number for number, source in enumerate(begun.todo, 1)}
    made: list[Outcome] = []
    noted, reached = time.monotonic(), 0
    with progress_bar(console) as progress:
        task = progress.add_task("objects", total=total)
        try:
            for outcome in _work(partial(_render, own, begun.models, threads), ranks.work_queue(begun.todo), workers):
                made.append(outcome)
                reached = max(reached, place[outcome.file])
                progress.update(task, completed=reached)
                if time.monotonic() > noted + _NOTED_EVERY:
                    note(root, config, [*begun.outcomes, *made], ranks.rank)
                    noted = time.monotonic()
        finally:
            note(root, config, [*begun.outcomes, *made], ranks.rank)
    return made


def _end(config: RenderConfig, begun: _Begun, made: list[Outcome], console: Console) -> None:
    """Writes what belongs to all objects, and says what was left out."""
    root = config.out
    outcomes = {outcome.file: outcome for outcome in made}
    note(root, config, outcomes.values())
    for path in root.glob("report-*.json"):
        path.unlink()
    rendered = sorted(outcome.object for outcome in made if outcome.object)
    show(outcomes, config, console)
    if not rendered:
        first = next(iter(outcomes.values()))
        raise InputError(f"{config.assets}: no model could be rendered; {first.file}: {first.reason}")
    _finish(config, rendered, begun.before)


def _placed(source: Source, config: RenderConfig) -> Source:
    """The published layout has objects in groups only."""
    if config.layout == "own" or "/" in source.name:
        return source
    return Source(f"{_kind(config)}/{source.name}", source.file)


def _kind(config: RenderConfig) -> str:
    return config.kind or config.assets.resolve().stem


def _chosen(sources: list[Source], found: Found, config: RenderConfig) -> tuple[list[Source], list[Outcome]]:
    """The models to render, and files that are left out before any file is read."""
    left = [Outcome(file, reason=reason) for file, reason in found.refused.items()]
    if config.splits is not None and sources:
        numbers = read_splits(config.splits, [source.name for source in sources])
        named = set(np.concatenate(list(numbers.values())).tolist())
        reason = f"is in none of the splits of {config.splits}"
        left += [Outcome(source.file, reason=reason) for i, source in enumerate(sources) if i not in named]
        sources = [source for number, source in enumerate(sources) if number in named]
    return sources[: config.limit], left


def _work(render: Callable[[Source], Outcome], sources: Iterable[Source], workers: int) -> Iterator[Outcome]:
    """Renders the models. When one kills its process, those in hand then get a process of their own, each in turn."""
    in_hand: dict[str, Source] = {}

    def taken() -> Iterator[Source]:
        for source in sources:
            in_hand[source.file] = source
            yield source

    left = taken()
    while True:
        try:
            for outcome in in_processes(render, left, workers):
                del in_hand[outcome.file]
                yield outcome
            return
        except BrokenProcessPool:
            for source in list(in_hand.values()):
                try:
                    (outcome,) = in_processes(render, [source], 1, isolated=True)
                except BrokenProcessPool:
                    outcome = Outcome(source.file, reason="its process was killed; memory or time may have run out")
                del in_hand[source.file]
                yield outcome


def _render(config: RenderConfig, root: Path, threads: int, source: Source) -> Outcome:
    """Writes the images of one object, then its cameras and its mesh: the mesh's file says that it is done."""
    try:
        with time_limit(LIMITS.seconds):
            loaded = load_asset(
                root / source.file,
                root,
                scale=config.scale,
                up=config.up,
                max_faces=config.max_faces,
                texture=config.texture,
                blender=config.blender,
                centred=config.light != "published",
                maps=config.shading == "pbr",
            )
        if config.strict and loaded.missing:
            raise InputError(f"{loaded.missing[0]!r} is missing ({len(loaded.missing)} such files), and --strict is on")
        asset, angles = loaded.asset, _angles(config, source.name)
        cameras = Cameras.of_prior(config.prior, angles)
        factor = largest_fit(asset.vertices, config.prior) if config.fit else 1.0
        if factor < 1:
            asset = replace(asset, vertices=asset.vertices * factor)
        images = _draw(config, asset, cameras, threads, _turns(config, source.name))
        if not images[:, 3].any():
            raise InputError("nothing of it is visible; its surfaces may be transparent")
    except InputError as error:
        return Outcome(source.file, reason=str(error))
    except Exception as error:  # One bad object must not stop the others.
        return Outcome(source.file, reason=f"it cannot be drawn ({type(error).__name__}: {error})")
    folder = "images" if config.layout == "own" else "img"
    write_images(contained(config.out / folder, source.name), images)
    if config.layout == "published":
        write_published_cameras(config.out, source.name, _degrees(angles))
        write_transforms(contained(config.out / folder, source.name), cameras, config.prior.fov)
    asset.save(mesh_path(config.out, source.name))
    return Outcome(
        source.file,
        source.name,
        faces=len(asset.faces),
        scale=round(config.scale * factor, 6),
        missing=loaded.missing,
    )


def _draw(
    config: RenderConfig, asset: Asset, cameras: Cameras, threads: int, turns: Float[Tensor, " n"] | None
) -> UInt8[Tensor, "n 4 r r"]:
    device = device_named(config.device)
    if config.renderer == "builtin":
        prior = _light(config)
        assert prior is not None
        return shade(
            asset.to(device),
            cameras,
            config.resolution,
            config.supersample,
            LIGHTS[prior.kind],
            shading=config.shading,
            turns=turns,
        )
    assert config.light != "random"
    return draw_in_blender(
        find_blender(config.blender),
        asset,
        cameras,
        config.resolution,
        config.light,
        device=device,
        threads=threads,
    )


def _angles(config: RenderConfig, name: str) -> Float[Tensor, "v 2"]:
    return draw_angles(config.prior, config.views, [config.seed, *name.encode()])


def _turns(config: RenderConfig, name: str) -> Float[Tensor, " v"] | None:
    """By how much the light is turned in each view of an object; None where it stays."""
    return draw_turns(config.views, [config.seed, *name.encode(), 2**31]) if config.light == "random" else None


def _light(config: RenderConfig) -> LightPrior | None:
    """What `dataset.json` says of the light; Blender's lamps are none that is known here."""
    if config.light == "published" or config.renderer != "builtin":
        return LightPrior("even", False, config.shading) if config.light == "even" else None
    return LightPrior.of(config.light, config.shading)


def _degrees(angles: Float[Tensor, "v 2"]) -> Float[np.ndarray, "v 2"]:
    return np.degrees(angles.double().numpy())


def _describe(config: RenderConfig, splits: dict[str, list[str]]) -> Description:
    return Description(
        kind=_kind(config),
        resolution=config.resolution,
        scale=config.scale,
        prior=config.prior,
        splits=splits,
        licence=config.licence,
        source={"command": command_line(config), "seed": config.seed, "settings": settings(config)},
        light=_light(config),
    )


def _finish(config: RenderConfig, rendered: list[str], before: Description | None) -> None:
    """Writes what is known when all objects are: splits, then the list of images, which says that all is done."""
    if config.splits is not None:
        numbers = read_splits(config.splits, rendered)
        splits = {split: [rendered[number] for number in chosen] for split, chosen in numbers.items()}
    else:
        splits = _shared_out(rendered, {} if before is None else before.splits, config.ratio)
    _describe(config, splits).write(config.out)
    if config.layout == "own":
        names = [f"{name}/{view:03d}.png" for name in rendered for view in range(config.views)]
        degrees = np.concatenate([_degrees(_angles(config, name)) for name in rendered])
        drawn = [turns for name in rendered if (turns := _turns(config, name)) is not None]
        write_cameras(config.out, names, degrees, np.degrees(torch.cat(drawn).double().numpy()) if drawn else None)
        return
    for split, members in splits.items():
        with writing(config.out / "splits" / f"{split}.txt") as temporary:
            temporary.write_text("".join(f"{name}\n" for name in members), encoding="utf-8")


def _shared_out(
    names: list[str], before: dict[str, list[str]], ratio: tuple[float, float, float]
) -> dict[str, list[str]]:
    """Splits in a ratio: those that have one keep it, each other goes where most is lacking."""
    present = set(names)
    splits = {split: [name for name in before.get(split, []) if name in present] for split in SPLITS}
    placed = {name for members in splits.values() for name in members}
    for name in names:
        if name not in placed:
            count = sum(map(len, splits.values())) + 1
            lacking = [share * count - len(splits[split]) for split, share in zip(SPLITS, ratio, strict=True)]
            splits[SPLITS[int(np.argmax(lacking))]].append(name)
    return splits
