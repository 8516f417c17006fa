"""Self-contained web pages for reports, with embedded images and diagrams."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

__all__ = ["COLORS", "GREY", "Series", "document", "figure", "folded", "histogram", "key"]

COLORS = ("#2f6fb3", "#c4622d", "#4b8f5a", "#8a5aa8", "#a8842c", "#5f6b7a")
GREY = "#9a9a9a"
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'wasm-unsafe-eval' 'self' file:; "
    "img-src 'self' file: data: blob:; connect-src data: blob:"
)
"""Nothing in a page may ask anything of a network, whatever an object in it says."""
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
.good { color: #2e8540; }
.bad { color: #d0342c; }
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
summary { cursor: pointer; font-size: 1.25rem; font-weight: 700; margin-top: 2.5rem; }
.objects { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(14rem, 45%), 1fr)); gap: 1rem; }
.objects figure { margin: 0; min-width: 0; overflow-wrap: anywhere; }
.objects figcaption { opacity: 1; font-size: .9em; padding-top: .3rem; }
.actions { display: flex; flex-wrap: wrap; gap: .2rem .8rem; align-items: baseline; }
.stage { aspect-ratio: 1; background: #eef1f4; border-radius: 6px; overflow: hidden; }
.stage model-viewer { width: 100%; height: 100%; }
button { font: inherit; color: inherit; background: none; border: 1px solid; border-radius: 4px; cursor: pointer; }
a { color: #1f5f9f; }
dialog { width: min(92vw, 92vh); border: 0; border-radius: 8px; padding: 1rem; color: inherit; background: #fff; }
dialog form { display: flex; justify-content: space-between; align-items: center; gap: 1rem; }
dialog h2 { margin: 0 0 .5rem; font-size: 1.1rem; }
.large .stage { max-height: 78vh; width: 100%; }
@media (prefers-color-scheme: dark) {
  body { color: #dfe3e7; background: #15191d; }
  .stage { background: #454d55; }
  a { color: #84b9ee; }
  dialog { background: #1e242a; }
  tr + tr td { border-color: #2b3238; }
  pre { background: #1e242a; }
}
"""


@dataclass(frozen=True)
class Series:
    """Counts in the bins of a histogram.

    Attributes:
        name: the name in the legend.
        counts: one for each bin.
        color: an HTML colour.
    """

    name: str
    counts: Sequence[int]
    color: str


def document(title: str, body: str) -> str:
    """The page. Bytes of names that are no text, which UTF-8 cannot say, stand in it as escapes.

    Args:
        title: plain text.
        body: HTML.
    """
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def folded(title: str, body: str) -> str:
    """What is shown when its title is clicked.

    Args:
        title: plain text.
        body: HTML.
    """
    return f"<details><summary>{html.escape(title)}</summary>{body}</details>"


def figure(image: Image.Image, caption: str) -> str:
    """An embedded image with its caption."""
    buffer = io.BytesIO()
    image.save(buffer, format="png", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    text = html.escape(caption)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


def key(series: Sequence[tuple[str, str]]) -> str:
    """A legend of colours.

    Args:
        series: names and colours.
    """
    keys = [f'<span class="key" style="background:{color}"></span>{html.escape(name)}' for name, color in series]
    return f"<p>{''.join(keys)}</p>"


def histogram(title: str, bins: Sequence[str], series: Sequence[Series]) -> str:
    """Adjacent bars in each bin, one for each series, as shares of the total of the series.

    Args:
        title: the caption.
        bins: their labels.
        series: the data; series without counts are left out.
    """
    shown = [
        ([count / max(1, sum(one.counts)) for count in one.counts], one.color) for one in series if len(one.counts)
    ]
    highest = max((max(shares) for shares, _ in shown), default=0) or 1
    width, height = 860, 150
    step = width / len(bins)
    bar = 0.8 * step / max(1, len(shown))
    shapes = []
    for number, (shares, color) in enumerate(shown):
        for place, share in enumerate(shares):
            tall = share / highest * (height - 20)
            x = place * step + 0.1 * step + number * bar
            shapes.append(
                f'<rect x="{x:.1f}" y="{height - tall:.1f}" width="{bar:.1f}" height="{tall:.1f}" fill="{color}">'
                f"<title>{html.escape(bins[place])}: {100 * share:.1f} %</title></rect>"
            )
    texts = [
        f'<text x="{(place + 0.5) * step:.1f}" y="{height + 14}" text-anchor="middle">{html.escape(label)}</text>'
        for place, label in enumerate(bins)
    ]
    image = f'<svg viewBox="0 0 {width} {height + 20}" role="img">{"".join(shapes + texts)}</svg>'
    return f"<figure>{image}<figcaption>{html.escape(title)}</figcaption></figure>"
