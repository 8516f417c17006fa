"""Web pages that need no other file: reports, with their images and diagrams in them."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

__all__ = ["COLORS", "GREY", "Series", "document", "figure", "histogram", "key"]

COLORS = ("#2f6fb3", "#c4622d", "#4b8f5a", "#8a5aa8", "#a8842c", "#5f6b7a")
GREY = "#9a9a9a"
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
@media (prefers-color-scheme: dark) {
  body { color: #dfe3e7; background: #15191d; }
  tr + tr td { border-color: #2b3238; }
  pre { background: #1e242a; }
}
"""


@dataclass(frozen=True)
class Series:
    """Counts in the bins of a histogram.

    Attributes:
        name: what they are of.
        counts: one for each bin.
        color: as in HTML.
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
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def figure(image: Image.Image, caption: str) -> str:
    """An image, held in the page itself, with its caption."""
    buffer = io.BytesIO()
    image.save(buffer, format="png", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    text = html.escape(caption)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


def key(series: Sequence[tuple[str, str]]) -> str:
    """What the colours mean.

    Args:
        series: names and colours.
    """
    keys = [f'<span class="key" style="background:{color}"></span>{html.escape(name)}' for name, color in series]
    return f"<p>{''.join(keys)}</p>"


def histogram(title: str, bins: Sequence[str], series: Sequence[Series]) -> str:
    """Bars side by side in each bin, one for each series, as shares of each one's total.

    Args:
        title: the caption.
        bins: their labels.
        series: what is shown; those without counts are left out.
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
