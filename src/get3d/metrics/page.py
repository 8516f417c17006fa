"""The report as a web page that needs no other file."""

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from get3d.metrics.glossary import METRICS, worse

__all__ = ["page"]

_COLORS = ("#2f6fb3", "#c4622d", "#4b8f5a", "#8a5aa8", "#a8842c", "#5f6b7a")
_REAL_COLOR = "#9a9a9a"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem; }
body { color: #1d2329; background: #fff; }
h1, h2 { line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; width: 100%; }
td, th { padding: .25rem .6rem; text-align: right; vertical-align: bottom; overflow-wrap: anywhere; }
td:first-child, th:first-child { text-align: left; }
tr + tr td { border-top: 1px solid #e4e7ea; }
tr.group th { text-align: left; padding-top: 1.2rem; border-bottom: 2px solid currentColor; }
.best { font-weight: 700; }
.spread, .muted { opacity: .65; font-size: .85em; }
.scroll { overflow-x: auto; }
figure { margin: 1rem 0; }
figcaption { opacity: .7; }
img { max-width: 100%; height: auto; border-radius: 4px; }
svg text { font: 11px system-ui, sans-serif; fill: currentColor; opacity: .7; }
dt { font-weight: 600; margin-top: .6rem; }
dd { margin: 0; }
pre { overflow-x: auto; background: #f4f6f8; padding: 1rem; border-radius: 4px; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin: 0 .3em 0 1em; }
@media (prefers-color-scheme: dark) {
  body { color: #dfe3e7; background: #15191d; }
  tr + tr td { border-color: #2b3238; }
  pre { background: #1e242a; }
}
"""


def page(report: Mapping[str, Any], pictures: Sequence[Mapping[str, Image.Image]]) -> str:
    """Writes the page.

    Args:
        report: what `report.json` holds.
        pictures: for each model some pictures, by their captions.
    """
    models = report["models"]
    title = "Evaluation of " + ", ".join(model["name"] for model in models)
    parts = [f"<h1>{html.escape(title)}</h1>", _introduction(report), _table(report)]
    if report["verdict"]:
        parts.append("<h2>First against last</h2><ul>")
        parts += [f"<li>{html.escape(line)}</li>" for line in report["verdict"]]
        parts.append("</ul>")
    for model, shown in zip(models, pictures, strict=True):
        if shown:
            parts.append(f"<h2>{html.escape(model['name'])}</h2>")
        parts += [_figure(picture, caption) for caption, picture in shown.items()]
    if report["histograms"]:
        parts.append("<h2>Distributions</h2>" + _key([model["name"] for model in models]))
        parts += [_histogram(title, values) for title, values in report["histograms"].items()]
    parts += [
        _glossary(report),
        "<h2>Settings</h2><pre>",
        html.escape(json.dumps(report["settings"], indent=1)),
        "</pre>",
    ]
    body = "\n".join(parts)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )


def _introduction(report: Mapping[str, Any]) -> str:
    lines = [f"<p><code>{html.escape(report['settings']['command'])}</code></p>"]
    lines += [f"<p>{html.escape(note)}</p>" for note in report["notes"]]
    return "\n".join(lines)


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


def _figure(picture: Image.Image, caption: str) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format="png", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    text = html.escape(caption)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


def _key(names: Sequence[str]) -> str:
    keys = [f'<span class="key" style="background:{_color(i)}"></span>{html.escape(n)}' for i, n in enumerate(names)]
    real = f'<span class="key" style="background:{_REAL_COLOR}"></span>real objects'
    return f"<p>{''.join([*keys, real])}</p>"


def _color(model: int) -> str:
    return _COLORS[model % len(_COLORS)]


def _histogram(title: str, values: Mapping[str, Any]) -> str:
    """Bars side by side in each bin, one for each model and one for real objects, as shares of each one's total."""
    labels = values["bins"]
    series = [*((counts, _color(i)) for i, counts in enumerate(values["models"])), (values["real"], _REAL_COLOR)]
    series = [([count / max(1, sum(counts)) for count in counts], color) for counts, color in series if counts]
    highest = max((max(shares) for shares, _ in series), default=0) or 1
    width, height = 860, 150
    step = width / len(labels)
    bar = 0.8 * step / len(series)
    shapes = []
    for number, (shares, color) in enumerate(series):
        for place, share in enumerate(shares):
            tall = share / highest * (height - 20)
            x = place * step + 0.1 * step + number * bar
            shapes.append(
                f'<rect x="{x:.1f}" y="{height - tall:.1f}" width="{bar:.1f}" height="{tall:.1f}" fill="{color}">'
                f"<title>{html.escape(labels[place])}: {100 * share:.1f} %</title></rect>"
            )
    texts = [
        f'<text x="{(place + 0.5) * step:.1f}" y="{height + 14}" text-anchor="middle">{html.escape(label)}</text>'
        for place, label in enumerate(labels)
    ]
    picture = f'<svg viewBox="0 0 {width} {height + 20}" role="img">{"".join(shapes + texts)}</svg>'
    return f"<figure>{picture}<figcaption>{html.escape(title)}</figcaption></figure>"


def _glossary(report: Mapping[str, Any]) -> str:
    entries = "".join(
        f"<dt>{html.escape(METRICS[name].title)}</dt><dd>{html.escape(METRICS[name].text)}</dd>"
        for name in _present(report)
    )
    return f"<h2>What the numbers mean</h2><dl>{entries}</dl>"
