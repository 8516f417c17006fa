"""The report as a self-contained web page."""

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from get3d.evaluation.metric_table import METRICS, worse
from get3d.html import (
    COLORS,
    GREY,
    PageObject,
    Series,
    document,
    embedded_objects,
    figure,
    folded,
    histogram,
    key,
)

__all__ = ["report_html"]


def report_html(
    report: Mapping[str, Any],
    images: Sequence[Mapping[str, Image.Image]],
    objects: Sequence[Mapping[str, Sequence[PageObject]]] = (),
) -> str:
    """Writes the page: results first, what they mean and how they were made at the end, folded.

    Args:
        report: the content of `report.json`.
        images: images of each model, by caption.
        objects: for each model objects to turn, by their captions.
    """
    models = report["models"]
    title = "Evaluation of " + ", ".join(model["name"] for model in models)
    parts = [f"<h1>{html.escape(title)}</h1>", *(f"<p>{html.escape(warning)}</p>" for warning in report["warnings"])]
    parts.append(_table(report))
    if report["verdict"]:
        parts.append("<h2>First against last</h2><ul>")
        parts += [f"<li>{html.escape(line)}</li>" for line in report["verdict"]]
        parts.append("</ul>")
    groups = {
        f"<h3>{html.escape(model['name'])}: {html.escape(caption)}</h3>": shown
        for model, own in zip(models, objects, strict=bool(objects))
        for caption, shown in own.items()
        if shown
    }
    if groups:
        parts.append("<h2>Objects to turn</h2>" + embedded_objects(groups))
    for model, shown in zip(models, images, strict=True):
        if shown:
            parts.append(f"<h2>{html.escape(model['name'])}</h2>")
        parts += [figure(image, caption) for caption, image in shown.items()]
    if report["histograms"]:
        named = [(model["name"], COLORS[number % len(COLORS)]) for number, model in enumerate(models)]
        named.append(("real objects", GREY))
        parts.append("<h2>Distributions</h2>" + key(named))
        for caption, values in report["histograms"].items():
            counted = zip(named, [*values["models"], values["real"]], strict=True)
            parts.append(
                histogram(caption, values["bins"], [Series(n, counts, color) for (n, color), counts in counted])
            )
    parts.append(_glossary(report))
    command, settings = (html.escape(text) for text in _settings(report))
    parts.append(folded("Settings", f"<pre>{command}</pre><pre>{settings}</pre>"))
    return document(title, "\n".join(parts))


def _settings(report: Mapping[str, Any]) -> tuple[str, str]:
    """The command, and everything that is known of how it ran."""
    return report["settings"]["command"], json.dumps(report["settings"], indent=1)


def _present(report: Mapping[str, Any]) -> list[str]:
    return [name for name in METRICS if any(name in model["metrics"] for model in report["models"])]


def _table(report: Mapping[str, Any]) -> str:
    models, real = report["models"], report["real"]
    head = "".join(f"<th>{html.escape(model['name'])}</th>" for model in models)
    rows = [f"<tr><th></th>{head}<th>real objects</th></tr>"]
    group = None
    arrows = {"lower": "↓", "higher": "↑", "fifty": "→ 50", "real": "→ real", None: ""}
    for name in _present(report):
        metric = METRICS[name]
        if metric.group != group:
            group = metric.group
            rows.append(f'<tr class="group"><th colspan="{len(models) + 2}">{html.escape(group)}</th></tr>')
        known = real.get(name)
        found = [model["metrics"].get(name) for model in models]
        ranks = [None if value is None else worse(name, value["value"], known and known["value"]) for value in found]
        best = min((rank for rank in ranks if rank is not None), default=None) if len(models) > 1 else None
        cells = [
            _cell(value, metric.digits, best is not None and rank == best)
            for value, rank in zip([*found, known], [*ranks, None], strict=True)
        ]
        label = f'<td title="{html.escape(metric.text)}">{html.escape(metric.title)} {arrows[metric.better]}</td>'
        rows.append(f"<tr>{label}{''.join(cells)}</tr>")
    return f'<h2>Numbers</h2><div class="scroll"><table>{"".join(rows)}</table></div>'


def _cell(value: Mapping[str, float | None] | None, digits: int, best: bool) -> str:
    if value is None:
        return '<td class="muted">–</td>'
    spread = value["spread"]
    error = "" if spread is None else f' <span class="spread">± {spread:.{digits}f}</span>'
    return f"<td{' class=best' if best else ''}>{value['value']:.{digits}f}{error}</td>"


def _glossary(report: Mapping[str, Any]) -> str:
    entries = "".join(
        f"<dt>{html.escape(METRICS[name].title)}</dt><dd>{html.escape(METRICS[name].text)}</dd>"
        for name in _present(report)
    )
    return folded("What the numbers mean", f"<dl>{entries}</dl>")
