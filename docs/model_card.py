"""Draws the images of docs/models.md and README.md of bundled models, with the commands that the pages name.

    python docs/model_card.py car chair vase                        samples, way, light, sides, README's image
    python docs/model_card.py car --report EVALUATION/report.json   also the nearest training objects

The report is that of `get3d evaluate KIND --data DATA --train-objects 2002`; its dataset is read, too.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from get3d.assets.loading import load_asset
from get3d.assets.shading import shade
from get3d.cameras import Cameras
from get3d.checkpoints.model import load
from get3d.datasets import index
from get3d.files import writing
from get3d.generation.turntable import STILL, TURN, seen_from
from get3d.images import Images, contact_sheet
from get3d.render.lights import STUDIO

IMAGES = Path(__file__).parent / "images"
SIDE, SMALL, COLUMNS = 160, 128, 8
LABEL = (50, 13)
"""Of a tile of the contact sheet: the place of its label."""
KINDS = ("car", "chair", "vase")


def save(image: Image.Image, name: str) -> None:
    """Writes a PNG."""
    with writing(IMAGES / name) as temporary:
        image.convert("RGB").save(temporary, optimize=True)


@contextmanager
def made_by(*arguments: str) -> Iterator[Path]:
    """What a command writes, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        subprocess.run([sys.executable, "-m", "get3d", *arguments, "--quiet", "--out", str(out)], check=True)
        yield out


def draw_samples(kind: str) -> None:
    """Seeds 0 to 15."""
    fixed = ("--num", "16", "--seed", "0", "--resolution", str(SIDE), "--texture", "256", "--faces", "5000")
    with made_by("generate", kind, *fixed, "--video", "none") as out:
        save(Image.open(out / "contact-sheet.png"), f"{kind}.png")


def draw_way(kind: str) -> None:
    """From seed 11 to seed 7."""
    with made_by("interpolate", kind, "--from", "11", "--to", "7", "--frames", str(COLUMNS), "--video", "none") as out:
        frames = [Image.open(path).convert("RGB") for path in sorted((out / "frames").glob("*.png"))]
    strip = Image.new("RGB", (SMALL * len(frames), SMALL))
    for column, frame in enumerate(frames):
        strip.paste(frame.resize((SMALL, SMALL), Image.Resampling.LANCZOS), (SMALL * column, 0))
    save(strip, f"{kind}-way.png")


def rgba_of(images: Images) -> Float[Tensor, "n 4 r r"]:
    """Colours within their range, and masks."""
    return torch.cat([images.rgb.clamp(-1, 1), images.mask], dim=1)


@torch.no_grad()
def draw_relit(kind: str) -> None:
    """Seed 3 in the studio's light, turned by an eighth from image to image."""
    generator = load(kind)
    camera = Cameras.turntable(generator.config.cameras, TURN)[torch.full((COLUMNS,), STILL)].to(generator.device)
    turn = torch.arange(COLUMNS, device=generator.device) * (2 * math.pi / COLUMNS)
    images = generator.shapes(generator.sample_latents(1, 3)).draw(camera, SMALL, light=STUDIO, turn=turn)
    save(contact_sheet(rgba_of(images), COLUMNS, background=1.0), f"{kind}-light.png")


@torch.no_grad()
def draw_sides(kind: str) -> None:
    """The first seeds from 50° above, and below them from 20° below."""
    generator = load(kind)
    shapes = [generator.shapes(generator.sample_latents(1, seed)) for seed in range(COLUMNS)]
    tiles = []
    for polar in (40.0, 110.0):
        camera = Cameras.turntable(generator.config.cameras, TURN, polar)[torch.tensor([STILL])].to(generator.device)
        tiles += [rgba_of(one.draw(camera, SMALL, light=STUDIO)) for one in shapes]
    save(contact_sheet(torch.cat(tiles), COLUMNS, background=1.0), f"{kind}-sides.png")


@torch.no_grad()
def draw_nearest(kind: str, report: Path) -> None:
    """Above, samples of the first seeds; below each, the training object that is nearest to it."""
    found = json.loads(report.read_text())
    generator, options = load(kind), found["settings"]["options"]
    rows = found["models"][0]["neighbours"][:COLUMNS]
    data = Path(options["data"])
    folder, prior, scale = data / "meshes", generator.config.cameras, index.read(data).scale
    camera = Cameras.turntable(prior, TURN)[torch.tensor([STILL])]
    above, below = [], []
    for row in rows:
        shapes = generator.shapes(generator.sample_latents(1, row["seed"]), psi=options["psi"])
        above.append(seen_from(shapes, prior, SMALL, STUDIO))
        asset = load_asset(folder / f"{row['nearest'][0]}.glb", folder, scale=scale, centred=False, maps=True).asset
        below.append(shade(asset, camera, SMALL))
    opaque = pad(torch.cat(above), (0, 0, 0, 0, 0, 1), value=255)
    save(contact_sheet(torch.cat([opaque, *below]), COLUMNS, background=1.0), f"{kind}-nearest.png")


def draw_front() -> None:
    """README's image: the first eight samples of each kind."""
    gap = 4
    front = Image.new("RGB", (SIDE * COLUMNS, (SIDE + gap) * len(KINDS) - gap), "white")
    for row, kind in enumerate(KINDS):
        samples = Image.open(IMAGES / f"{kind}.png").convert("RGB")
        for column in range(COLUMNS):
            left, top = column % 4 * SIDE, column // 4 * SIDE
            tile = samples.crop((left, top, left + SIDE, top + SIDE))
            tile.paste("white", (0, 0, *LABEL))
            front.paste(tile, (SIDE * column, (SIDE + gap) * row))
    save(front, "models.png")


def main() -> None:
    """Draws what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="+", choices=KINDS)
    parser.add_argument("--report", type=Path, help="report.json of an evaluation of one kind")
    arguments = parser.parse_args()
    if arguments.report is not None and len(arguments.kinds) > 1:
        parser.error("--report is of one kind; name one")
    for kind in arguments.kinds:
        draw_samples(kind)
        draw_way(kind)
        draw_relit(kind)
        draw_sides(kind)
        if arguments.report is not None:
            draw_nearest(kind, arguments.report)
    draw_front()


if __name__ == "__main__":
    main()
