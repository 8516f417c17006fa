"""A real browser for tests: Debian's Chromium, without a network, its errors and requests kept."""

import base64
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")

needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's package chromium")


@dataclass
class Watched:
    """A page, and what it did.

    Attributes:
        page: for clicks and keys.
        errors: what its console and its scripts complained of.
        requests: what it asked for.
    """

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser that draws without a GPU."""
    # As root, as in containers, Chromium has no sandbox.
    arguments = ["--enable-unsafe-swiftshader", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


def watched(browser: Browser, *, offline: bool = True, **context: object) -> Watched:
    """A new, empty page.

    Args:
        browser: that shows it.
        offline: without a network; files can still be read.
        context: as of `Browser.new_context`: viewport, color_scheme and so on.
    """
    page = browser.new_context(offline=offline, **context).new_page()
    page.set_default_timeout(120_000)
    found = Watched(page)
    page.on("console", lambda message: found.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: found.errors.append(str(error)))
    page.on("request", lambda request: found.requests.append(request.url))
    return found


def wait_for_objects(page: Page, count: int) -> None:
    """Waits until so many objects can be seen."""
    shown = "viewer => viewer.loaded && viewer.modelIsVisible"
    page.wait_for_function(
        f"count => [...document.querySelectorAll('model-viewer')].filter({shown}).length >= count", arg=count
    )


def drawn(viewer: Locator) -> torch.Tensor:
    """What a <model-viewer> draws, over nothing: [4, h, w] in [0, 1]."""
    text = viewer.evaluate("viewer => viewer.toDataURL('image/png')")
    image = Image.open(io.BytesIO(base64.b64decode(text.partition(",")[2]))).convert("RGBA")
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


def wait_for_field(page: Page, pattern: str) -> str:
    """Waits until an input or a text area of a live page says this, and gives what it says."""
    found = page.wait_for_function(
        "pattern => [...document.querySelectorAll('input, textarea')].map(each => each.value)"
        ".find(text => new RegExp(pattern).test(text))",
        arg=pattern,
    )
    return found.json_value()


def still(element: Locator) -> np.ndarray:
    """What is drawn in an element once it does not change any more, as [h, w, 3] bytes."""
    before = b""
    while (content := element.screenshot()) != before:
        before = content
        element.page.wait_for_timeout(300)
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def enter(page: Page, place: int, value: str) -> None:
    """Enters a number in the field of the slider at a place of a live page, counted from above."""
    field = page.locator("input[inputmode=decimal]").nth(place)
    field.fill(value)
    field.press("Enter")


def choose(page: Page, name: str, option: str) -> None:
    """Chooses an option of a live page."""
    page.get_by_role("combobox", name=name).click()
    page.get_by_role("option", name=option, exact=True).click()
