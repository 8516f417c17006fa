"""`get3d evaluate`: measures models and writes `report.json` and `report.html`."""

import json
import math
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from get3d.checkpoints.model import load
from get3d.console import print_json
from get3d.distributed.processes import SINGLE_PROCESS, Ranks, joined
from get3d.evaluation.evaluator import Comparison, EvaluateConfig, Result
from get3d.evaluation.metric_table import METRICS, worse
from get3d.evaluation.previews import neighbour_sheet, objects_to_turn, sample_sheet
from get3d.evaluation.report_html import report_html
from get3d.evaluation.shape_metrics import Value
from get3d.evaluation.shape_sets import ANGLE_BINS, ASPECT_BINS
from get3d.files import InputError, require_writable, write_json, writing
from get3d.generator import Generator
from get3d.html import PageObject
from get3d.ranges import require_ranges

__all__ = ["EvaluateConfig", "evaluate", "validate"]

_SHOWN = 16
_NEIGHBOURS_SHOWN = 8
_TURNED = 8
"""Samples that can be turned."""
_BESIDE = 4
"""Number of interactive shapes next to training objects, and as many that are far from any."""
_DISTANCE_BINS = 12
_BEST = {"lower": 0.0, "higher": 100.0}
"""Best possible values; all metrics for which higher is better are in per cent."""


def evaluate(config: EvaluateConfig, console: Console) -> dict[str, Any]:
    """Measures each model and writes the report.

    If the environment names several processes (as torchrun sets it), all of them call this function, and divide the
    work.

    Args:
        config: the options.
        console: console for the table.

    Returns:
        The content of report.json.

    Raises:
        InputError: an option is out of range, a model or the dataset cannot be used, or the folder cannot be written
            to.
        RanksError: another process is lost or hangs; the message names it.
    """
    with joined(config.ranks, config.device) as ranks:
        generators = ranks.require_agreement(lambda: _opened(config))
        with Progress(console=ranks.console(console), transient=True) as progress:
            comparison = ranks.require_agreement(lambda: _compared(config, generators, progress, ranks))
            comparison.measure()
            real = comparison.of_real()
            results = [
                comparison.of_model(name, generator)
                for name, generator in zip(_folders(config.models), generators, strict=True)
            ]
        return ranks.from_first(lambda: _written(config, comparison, generators, results, real, console))


def validate(config: EvaluateConfig) -> None:
    """Checks whether the models can be measured, as far as possible before processes are started.

    Raises:
        InputError: as `evaluate`.
    """
    _compared(config, _opened(replace(config, device="cpu")), Progress(), SINGLE_PROCESS)


def _opened(config: EvaluateConfig) -> list[Generator]:
    _check(config)
    require_writable(config.out)
    return [load(model, config.device) for model in config.models]


def _compared(config: EvaluateConfig, generators: Sequence[Generator], progress: Progress, ranks: Ranks) -> Comparison:
    return Comparison(config, generators[0].mapping_geometry.w_avg.device, progress, ranks)


def _written(
    config: EvaluateConfig,
    comparison: Comparison,
    generators: Sequence[Generator],
    results: Sequence[Result],
    real: Result,
    console: Console,
) -> dict[str, Any]:
    names, device = _short(config.models), generators[0].mapping_geometry.w_avg.device
    report = {
        "format": 1,
        "settings": _settings(config, device),
        "warnings": comparison.warnings + _warnings(names, results),
        "real": _numbers(real),
        "models": [
            {"model": model, **_described(name, result)}
            for model, name, result in zip(config.models, names, results, strict=True)
        ],
        "verdict": _verdict(names, results, real) if len(results) > 1 else [],
        "histograms": _histograms(results, real),
    }
    write_json(config.out / "report.json", report)
    images = [sample_images(config, comparison, g, result) for g, result in zip(generators, results, strict=True)]
    objects = [_objects(config, comparison, g, result) for g, result in zip(generators, results, strict=True)]
    with writing(config.out / "report.html") as temporary:
        temporary.write_text(report_html(report, images, objects), encoding="utf-8")
    if config.json:
        print_json(console, report)
        return report
    _print(report, console)
    console.print(f"{config.out / 'report.html'} and report.json", highlight=False, soft_wrap=True)
    return report


def _check(config: EvaluateConfig) -> None:
    if not config.models:
        raise InputError("no model was given; give one or more: get3d evaluate MODEL --data DATA")
    if config.shapes and not config.distances:
        raise InputError("--distances is empty; give cd, lfd or both, or skip shapes with --no-shapes")
    require_ranges(config)
    if config.protocol == "published" and config.psi != 1:
        raise InputError(f"--psi is {config.psi:g}, but the published protocol uses 1; leave one of the two out")
    if 0 < config.images < 4:
        raise InputError(f"--images is {config.images}; it must be at least 4, or 0 for none")


def _folders(models: Sequence[str]) -> list[str]:
    """A folder for each model's intermediate results, named after it."""
    return [f"{number}-{''.join(c if c.isalnum() else '-' for c in name)[-40:]}" for number, name in enumerate(models)]


def _short(models: Sequence[str]) -> list[str]:
    """What the models are called in the report: the last part of their paths, where that tells them apart."""
    names = [Path(model).name.removesuffix(".safetensors") for model in models]
    return names if len(set(names)) == len(names) else list(models)


def _settings(config: EvaluateConfig, device: torch.device) -> dict[str, Any]:
    options = {name: value for name, value in asdict(config).items() if name not in ("ranks", "json")}
    return {
        "command": shlex.join(["get3d", *sys.argv[1:]]),
        "options": json.loads(json.dumps(options, default=str)),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("get3d", "torch", "warp-lang", "numpy", "scipy")},
        },
    }


def _numbers(result: Result) -> dict[str, dict[str, float | None]]:
    return {name: asdict(value) for name, value in result.metrics.items()}


def _described(name: str, result: Result) -> dict[str, Any]:
    shapes = result.shapes
    neighbours = (
        []
        if shapes is None
        else [
            {
                "seed": int(seed),
                "nearest": nearest,
                **{f"distance-{name}": float(values[row]) for name, values in result.to_train.items()},
            }
            for row, (seed, nearest) in enumerate(zip(shapes.names, result.neighbours, strict=True))
        ]
    )
    return {
        "name": name,
        "metrics": _numbers(result),
        "shapes": 0 if shapes is None else len(shapes),
        "empty": [] if shapes is None else [int(seed) for seed in shapes.empty],
        "neighbours": neighbours,
    }


def _warnings(names: Sequence[str], results: Sequence[Result]) -> list[str]:
    return [
        f"{name}: {len(result.shapes.empty)} of {result.shapes.asked} generated shapes are empty (seeds "
        f"{', '.join(result.shapes.empty[:5])}{' …' if len(result.shapes.empty) > 5 else ''}). They count as not "
        f"watertight and not of a single body, are black images, and are left out of distances between shapes."
        for name, result in zip(names, results, strict=True)
        if result.shapes is not None and result.shapes.empty
    ]


def _verdict(names: Sequence[str], results: Sequence[Result], real: Result) -> list[str]:
    """What got better from the first model to the last, and of what did not, whether the difference is any."""
    first, last = results[0].metrics, results[-1].metrics
    better, lines = [], []
    for name in METRICS:
        if name not in first or name not in last:
            continue
        known = real.metrics[name].value if name in real.metrics else None
        ranks = [worse(name, found[name].value, known) for found in (first, last)]
        if ranks[0] is None or ranks[1] is None:
            continue
        title = METRICS[name].title
        if ranks[1] < ranks[0]:
            better.append(title)
        elif ranks[1] == ranks[0]:
            best = last[name].value == _BEST.get(METRICS[name].better or "")
            why = "which is the best value." if best else METRICS[name].caveat
            lines.append(f"{title}: both {last[name].value:g}{', ' if best else '. '}{why}".strip())
        else:
            lines.append(_explained(title, name, first, last, ranks[1] - ranks[0], known))
    summary = f"Better in {names[-1]} than in {names[0]}: {', '.join(better) if better else 'nothing'}."
    return [summary, *lines]


def _explained(
    title: str, name: str, first: Mapping[str, Value], last: Mapping[str, Value], loss: float, real: float | None
) -> str:
    """Why a number got worse, as far as the numbers tell."""
    digits = METRICS[name].digits
    change = f"{title}: not better, {first[name].value:.{digits}f} before, {last[name].value:.{digits}f} now"
    if METRICS[name].better == "real":
        change += f", {real:.{digits}f} for real objects"
    before, now = (found[name].spread for found in (first, last))
    if before is None or now is None:
        return f"{change}. {METRICS[name].caveat}".strip()
    error = math.hypot(before, now)
    if loss < 2 * error:
        return (
            f"{change}; the difference is within twice its standard error of {error:.{digits}f}, so it tells nothing."
        )
    return f"{change}; that is more than twice the standard error of {error:.{digits}f}. {METRICS[name].caveat}".strip()


def _histograms(results: Sequence[Result], real: Result) -> dict[str, Any]:
    """Counts in bins, of each model and of real objects, by what they are of."""
    found: dict[str, Any] = {}
    if real.shapes is None:
        return found
    for name in real.to_train:
        own = [result.to_train[name].numpy() for result in results]
        values = [*own, real.to_train[name].numpy()]
        edges = np.linspace(0, max(part.max(initial=0) for part in values) or 1, _DISTANCE_BINS + 1)
        counts = [np.histogram(part, edges)[0].tolist() for part in values]
        title = f"Distance to the nearest training object ({name}); for real objects, of the references"
        found[title] = _histogram([f"{edge:.3g}" for edge in edges[1:]], counts)
    sets = [result.shapes for result in [*results, real] if result.shapes is not None]
    counts = [shapes.quality["angle_counts"].sum(axis=0).tolist() for shapes in sets]
    found["Smallest angle of the faces, degrees"] = _histogram([f"{a}–{b}" for a, b in pairwise(ANGLE_BINS)], counts)
    counts = [shapes.quality["aspect_counts"].sum(axis=0).tolist() for shapes in sets]
    found["Aspect of the faces"] = _histogram([f"{a:g}–{b:g}" for a, b in pairwise(ASPECT_BINS)], counts)
    return found


def _histogram(bins: list[str], counts: list[list[int]]) -> dict[str, Any]:
    return {"bins": bins, "models": counts[:-1], "real": counts[-1]}


def sample_images(
    config: EvaluateConfig, comparison: Comparison, generator: Generator, result: Result
) -> dict[str, Image]:
    """Samples, not chosen, and some of them with their nearest training objects."""
    seeds = range(config.seed, config.seed + _SHOWN)
    shown = {
        f"Samples of the seeds {seeds[0]} to {seeds[-1]}, ψ = {config.psi:g}, not chosen": sample_sheet(
            generator, comparison.sampling, _SHOWN
        )
    }
    if result.shapes is not None and len(result.shapes):
        own = [int(name) for name in result.shapes.names[:_NEIGHBOURS_SHOWN]]
        near = result.neighbours[: len(own)]
        caption = f"Left: shapes of the seeds {', '.join(map(str, own))}. Right: the training objects nearest to each."
        shown[caption] = neighbour_sheet(
            generator, comparison.sampling, [seed - config.seed for seed in own], comparison.folder, near
        )
    return shown


def _objects(
    config: EvaluateConfig, comparison: Comparison, generator: Generator, result: Result
) -> dict[str, list[PageObject]]:
    """Objects to turn, by what they are: samples, shapes next to training objects, and the shapes far from any."""
    sampling = comparison.sampling
    if result.shapes is None or not len(result.shapes):
        return {"Samples, not chosen": objects_to_turn(generator, sampling, range(_TURNED))}
    numbers = [int(name) - config.seed for name in result.shapes.names]
    near = objects_to_turn(generator, sampling, numbers[:_BESIDE], comparison.folder, result.neighbours[:_BESIDE])
    found = {
        "Samples, not chosen": objects_to_turn(generator, sampling, range(_TURNED)),
        "Samples, each before the training objects nearest to it": near,
    }
    for name, distances in result.to_train.items():
        farthest = distances.argsort(descending=True, stable=True)[:_BESIDE].tolist()
        worst = objects_to_turn(generator, sampling, [numbers[place] for place in farthest])
        found[f"Worst cases: farthest from every training object ({name})"] = worst
    return found


def _print(report: Mapping[str, Any], console: Console) -> None:
    """The table, for a terminal."""
    table = Table(*["", *(model["name"] for model in report["models"]), "real objects"], box=None)
    for name, metric in METRICS.items():
        values = [model["metrics"].get(name) for model in report["models"]]
        if any(values):
            cells = [*values, report["real"].get(name)]
            table.add_row(metric.title, *(f"{c['value']:.{metric.digits}f}" if c else "–" for c in cells))
    console.print(table)
    for line in [*report["warnings"], *report["verdict"]]:
        console.print(line, highlight=False, soft_wrap=True)
