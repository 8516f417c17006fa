"""Web pages that need no network: reports, and objects to turn."""

from get3d.html.document import COLORS, GREY, Series, document, figure, folded, histogram, key
from get3d.html.objects import (
    Orbit,
    PageObject,
    data_file,
    embeddable,
    embedded_objects,
    frame,
    linked_objects,
    url,
    viewer_licence,
    viewer_script,
)

__all__ = [
    "COLORS",
    "GREY",
    "Orbit",
    "PageObject",
    "Series",
    "data_file",
    "document",
    "embeddable",
    "embedded_objects",
    "figure",
    "folded",
    "frame",
    "histogram",
    "key",
    "linked_objects",
    "url",
    "viewer_licence",
    "viewer_script",
]
