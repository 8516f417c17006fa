"""Records the images of pages that README.md and docs/viewer.md show, with real clicks.

Usage: python docs/record_viewer.py [FOLDER]     by default docs/images; needs the packages of `make test` and chromium
"""

import io
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page
from rich.console import Console

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from browser import choose, chromium, enter, wait_for_field, wait_for_objects, watched
from get3d.authoring.procedural import SynthConfig, synthesize
from get3d.datasets.check import check
from get3d.datasets.check_html import write_page
from get3d.evaluation.report import EvaluateConfig, evaluate
from get3d.files import writing
from get3d.generation.config import GenerateConfig
from get3d.generation.generate import generate
from get3d.viewer.command import open_page
from get3d.viewer.config import ViewConfig

VIEWPORT = {"width": 1000, "height": 640}
WIDTH = 720
"""Of the recording, in pixels."""
COLORS = 128
HEIGHT, SCALE = 844, 0.7
"""Of the images: of the windows in pixels, and how much smaller they are."""
QUIET = 4000
"""Milliseconds without a change after which all of a page is there."""
SEED = "7"


@dataclass
class Recording:
    """Frames of a page, and how long each is shown."""

    page: Page
    frames: list[Image.Image] = field(default_factory=list)
    milliseconds: list[int] = field(default_factory=list)

    def take(self, milliseconds: int = 120) -> None:
        """Adds the page as it is now."""
        image = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        self.frames.append(image.resize((WIDTH, WIDTH * image.height // image.width), Image.Resampling.LANCZOS))
        self.milliseconds.append(milliseconds)

    def save(self, path: Path) -> None:
        """Writes a .gif with one palette for all frames, so that what stands still takes no space."""
        small = [frame.resize((WIDTH // 3, frame.height // 3), Image.Resampling.NEAREST) for frame in self.frames]
        sample = Image.new("RGB", (WIDTH // 3, sum(frame.height for frame in small)))
        for number, frame in enumerate(small):
            sample.paste(frame, (0, number * frame.height))
        palette = sample.quantize(COLORS, kmeans=2)
        first, *rest = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in self.frames)
        with writing(path) as temporary:
            first.save(temporary, save_all=True, append_images=rest, duration=self.milliseconds, loop=0, optimize=True)


def drag(recording: Recording, start: Sequence[float], end: Sequence[float], steps: int) -> None:
    """Drags with the mouse; every step is a frame."""
    mouse = recording.page.mouse
    mouse.move(*start)
    mouse.down()
    for step in range(1, steps + 1):
        mouse.move(*(a + (b - a) * step / steps for a, b in zip(start, end, strict=True)))
        recording.page.wait_for_timeout(250)
        recording.take()
    mouse.up()


def drag_slider(recording: Recording, number: int, share: float, steps: int) -> None:
    """Drags the knob of the numbered slider by a share of its range."""
    slider = recording.page.locator("[role=slider]").nth(number)
    slider.scroll_into_view_if_needed()
    box, rail = slider.bounding_box(), slider.locator("xpath=..").bounding_box()
    assert box is not None and rail is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    drag(recording, (x, y), (x + share * rail["width"], y), steps)


def opened(browser: Browser, address: str, **context: object) -> Page:
    """A window of the page; of a live one without viser's remark on browsers that draw in software."""
    page = watched(browser, offline=False, **context).page
    page.goto(address)
    if address.startswith("http"):
        page.get_by_role("alert").get_by_role("button").dispatch_event("click")
    return page


def record(page: Page, steps: int) -> Recording:
    """Turns an object, slides ψ and a direction of W, takes a variation, shows normals and edges, and saves."""
    recording = Recording(page)
    wait_for_field(page, "^ready")
    for place in (0, 1):
        enter(page, place, SEED)
    wait_for_field(page, f"^ready: geometry {SEED}, texture {SEED}")
    page.wait_for_timeout(1000)
    recording.take(900)
    drag(recording, (250, 320), (420, 320), steps)
    drag_slider(recording, 2, -0.2, steps)
    page.get_by_text("Directions", exact=True).click()
    drag_slider(recording, 3, -0.3, steps)
    wait_for_field(page, "^ready")
    page.wait_for_timeout(700)
    recording.take(900)
    page.get_by_role("button", name="More like this").last.click()
    take = page.get_by_role("button", name="3", exact=True)
    take.wait_for()
    take.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    recording.take(1200)
    take.click()
    wait_for_field(page, "^ready: geometry varied")
    page.wait_for_timeout(700)
    recording.take(1000)
    for view in ("Normals", "Base color", "Lit"):
        if view == "Lit":
            page.get_by_role("checkbox", name="Wireframe").click()
        choose(page, "Show", view)
        wait_for_field(page, "^ready")
        page.wait_for_timeout(700)
        recording.take(800)
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("object-1.glb").wait_for()
    page.wait_for_timeout(500)
    recording.take(1800)
    return recording


def main(folder: Path) -> None:
    """Writes the recording, and an image of each page: on a desktop, dark, and on a phone."""
    quiet = Console(quiet=True)
    with tempfile.TemporaryDirectory() as temporary, chromium() as browser:
        out = Path(temporary)
        with live_page(ViewConfig(("chair",), out=out / "viewed", port=0)) as address:
            record(opened(browser, address, viewport=VIEWPORT), steps=8).save(folder / "viewer.gif")
            looks(browser, address, steered).save(folder / "viewer-live.png")
        data = synthesize(SynthConfig("chair", out / "data", shapes=6, views=24, resolution=64, workers=1), quiet)
        with live_page(ViewConfig((str(data),), port=0)) as address:
            looks(browser, address, says(r"24 images$")).save(folder / "viewer-data.png")
        files = [str(path) for path in sorted((data / "meshes").glob("*.glb"))[:3]]
        with live_page(ViewConfig(tuple(files), port=0)) as address:
            looks(browser, address, says("triangles$")).save(folder / "viewer-files.png")
        generate(GenerateConfig("chair", out=out / "made", num=8, device="cpu"), quiet)
        looks(browser, (out / "made/index.html").as_uri(), turning).save(folder / "viewer-page.png")
        write_page(check(data), out / "check.html")
        looks(browser, (out / "check.html").as_uri(), turning).save(folder / "viewer-check.png")
        numbers = {"references": 1, "ratio": 8, "points": 1024, "train_objects": 4, "images": 0, "textures": 0}
        evaluate(EvaluateConfig(("chair",), data, out=out, device="cpu", distances=("cd",), **numbers), quiet)
        looks(browser, (out / "report.html").as_uri(), turning).save(folder / "viewer-evaluate.png")


@contextmanager
def live_page(config: ViewConfig) -> Iterator[str]:
    """The address of a page while it is shown."""
    live = open_page(config)
    try:
        yield live.server.address
    finally:
        live.stop()


def says(pattern: str) -> Callable[[Page], None]:
    """What waits until a field of a live page says something."""

    def wait(page: Page) -> None:
        wait_for_field(page, pattern)

    return wait


def steered(page: Page) -> None:
    """Shows another object of a live page, and its variations."""
    for place in (0, 1):
        enter(page, place, SEED)
    wait_for_field(page, f"^ready: geometry {SEED}, texture {SEED}")
    page.get_by_role("button", name="More like this").last.click()
    page.get_by_role("button", name="3", exact=True).wait_for()


def turning(page: Page) -> None:
    """Scrolls to the objects of a page, and waits for those that are seen."""
    objects = page.locator(".objects").first
    top = objects.bounding_box()
    assert top is not None
    page.mouse.wheel(0, max(0, top["y"] - 250))
    wait_for_objects(page, 1)


def looks(browser: Browser, address: str, ready: Callable[[Page], None]) -> Image.Image:
    """A page on a desktop, the same dark, and on a phone, side by side.

    Args:
        browser: that shows it.
        address: of the page.
        ready: makes it show what is to be seen.
    """
    desktop, phone = {"width": 1000, "height": HEIGHT}, {"width": 390, "height": HEIGHT}
    images = []
    for size, scheme in ((desktop, "light"), (desktop, "dark"), (phone, "light")):
        page = opened(browser, address, viewport=size, color_scheme=scheme)
        ready(page)
        before = b""
        while (content := page.screenshot()) != before:
            before = content
            page.wait_for_timeout(QUIET)
        images.append(Image.open(io.BytesIO(content)).convert("RGB"))
        page.context.close()
    sheet = Image.new("RGB", (sum(image.width + 10 for image in images) - 10, HEIGHT), "grey")
    left = 0
    for image in images:
        sheet.paste(image, (left, 0))
        left += image.width + 10
    small = sheet.resize((round(SCALE * sheet.width), round(SCALE * HEIGHT)), Image.Resampling.LANCZOS)
    return small.quantize(COLORS, kmeans=2, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "images"))
