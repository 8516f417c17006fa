"""The adversarial phase by ablation. The same command resumes.

python benchmarks/ablation.py --start RUN --data DATA --out FOLDER [--minutes 10] [--rows NAME …]
    trains each row from the same warm start for equal processor minutes of one core, and compares all of them
python benchmarks/ablation.py --out FOLDER --table
    the table so far, as Markdown

A row is a name and options of `get3d train demo`. The discriminator is new in each row, and learns alone for the first
two thousand images, which count. FOLDER/NAME.png has 16 shapes, seeds 0 to 15, at ψ = 0.7.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from rich.console import Console

from get3d.checkpoints.model import load
from get3d.evaluation.config import EvaluateConfig
from get3d.evaluation.report import evaluate
from get3d.files import writing
from get3d.generation.turntable import seen_from, write_sheet

RATES = ["--warmup.learning-rate", "0.002", "--warmup.code-learning-rate", "0.0025"]
GAME = ["--warmup-kimg", "0.016", *RATES]
"""One step of warm-up takes over the codes of the start."""

ROWS: dict[str, list[str]] = {
    "warm-up goes on": [
        "--warmup-kimg",
        "1000",
        "--warmup.learning-rate",
        "0.001",
        "--warmup.code-learning-rate",
        "0.0025",
    ],
    "game": GAME,
    "slower": [*GAME, "--optimizer.learning-rate", "0.0005"],
    "r1 20": [*GAME, "--objective.r1-gamma", "20"],
    "r1 1": [*GAME, "--objective.r1-gamma", "1"],
    "batch 32": ["--warmup-kimg", "0.032", *RATES, "--batch", "32"],
    "normals 0.05": [*GAME, "--objective.regularizers.normals", "0.05"],
    "no mixing": [*GAME, "--objective.style-mixing", "0"],
    "texture": [*GAME, "--objective.adversarial", "texture"],
}
SHOWN = ("fed", "swd_rgb", "swd_mask", "1nna_cd", "watertight_single_body", "roughness")
QUIET = Console(quiet=True)


def processor_seconds(pid: int) -> float:
    """User and system time of a process and its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def train(name: str, options: list[str], args: argparse.Namespace) -> Path:
    """Trains a row until its processor minutes are over, and returns the run's folder."""
    run, spent = args.out / name.replace(" ", "-"), args.out / f"{name.replace(' ', '-')}.json"
    before = json.loads(spent.read_text())["seconds"] if spent.is_file() else 0.0
    wanted = 60 * args.minutes
    if before >= wanted:
        return run
    command = [
        sys.executable,
        "-m",
        "get3d",
        "train",
        "demo",
        "--data",
        args.data,
        "--out",
        run,
        "--init-from",
        args.start,
    ]
    command += ["--generator.materials", "base_color", "--kimg", "1000", "--snapshot-kimg", "1000", "--keep", "1"]
    command += ["--checkpoint-minutes", "3", "--metrics", "swd", "--device", "cpu", *options]
    process = subprocess.Popen(list(map(str, command)), env=os.environ | {"OMP_NUM_THREADS": "1"})
    asked = False
    while process.poll() is None:
        time.sleep(1)
        try:
            seconds = before + processor_seconds(process.pid)
        except FileNotFoundError:
            continue
        with writing(spent) as temporary:
            temporary.write_text(json.dumps({"seconds": seconds}))
        if seconds >= wanted and not asked:
            process.send_signal(signal.SIGTERM)
            asked = True
    if process.returncode:
        raise SystemExit(f"{name}: training ended with status {process.returncode}")
    return run


def show(model: Path, image: Path) -> None:
    """A sheet of shapes of seeds 0 to 15 at ψ = 0.7."""
    generator = load(model, "cpu")
    tiles = []
    with torch.no_grad():
        for seed in range(16):
            shapes = generator.shapes(generator.sample_latents(1, seed), psi=0.7)
            tiles.append(seen_from(shapes, generator.config.cameras, 160))
    write_sheet(image, torch.cat(tiles), 8)


def compare(models: dict[str, Path], args: argparse.Namespace) -> None:
    """Measures the models against held-out objects, and writes the rows beside them as JSON."""
    report = evaluate(
        EvaluateConfig(
            tuple(map(str, models.values())),
            args.data,
            args.out / "evaluation",
            images=256,
            distances=("cd",),
            textures=0,
            references=40,
            train_objects=64,
            outer_surface=args.outer_surface,
            device="cpu",
        ),
        QUIET,
    )
    rows = {}
    for name, model in zip(models, report["models"], strict=True):
        line = Path(models[name]) / "stats.jsonl"
        shown = json.loads(line.read_text().splitlines()[-1])["cur_nimg"] / 1000 if name != START else 0.0
        rows[name] = {"kimg": shown} | {key: model["metrics"][key]["value"] for key in SHOWN}
    with writing(args.out / "rows.json") as temporary:
        temporary.write_text(json.dumps(rows, indent=1))


def table(out: Path) -> str:
    """The rows as Markdown."""
    lines = [
        "| | kimg | FED | SWD colours | SWD masks | 1-NNA-CD, % | single body, % | roughness, ° |",
        "|---|" + "---:|" * 7,
    ]
    for name, row in json.loads((out / "rows.json").read_text()).items():
        values = (f"{value:.1f}" for value in row.values())
        lines.append(f"| {name} | {' | '.join(values)} |")
    return "\n".join(lines)


START = "the start"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", type=Path, help="a run with a warm-up")
    parser.add_argument("--data", type=Path, help="the dataset of that run")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0, help="processor minutes of a row")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--outer-surface", action="store_true", help="as for cars, whose insides no image shows")
    parser.add_argument("--table", action="store_true", help="only print the table so far")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if not args.table:
        args.out.mkdir(parents=True, exist_ok=True)
        models = {START: args.start}
        for name in args.rows:
            models[name] = train(name, ROWS[name], args)
        for name, model in models.items():
            image = args.out / f"{name.replace(' ', '-')}.png"
            if not image.is_file():
                show(model, image)
        compare(models, args)
    print(table(args.out))


if __name__ == "__main__":
    main()
