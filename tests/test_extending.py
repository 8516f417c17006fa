"""What docs/extending.md adds, in a process of its own, is used by the rest of the package."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from captures import blender_matrices, capture

DOC = Path(__file__).parent.parent / "docs" / "extending.md"

USE = """
import numpy as np
from types import SimpleNamespace
import torch
from get3d.evaluation.metric_table import compute
from get3d.generator import Generator
from get3d.generator_config import GeneratorConfig
from get3d.isosurface import regularizers_of
from get3d.networks.config import PlanesConfig, UnifiedConfig
from get3d.training.objective import surface_loss
from get3d.training.run_config import ObjectiveConfig

planes = PlanesConfig(resolution=8, channels=4, channel_base=64, channel_max=8)
synthesis = UnifiedConfig(planes=planes, texture_features=4, channels=("base_color", "emission"))
sizes = dict(z_dim=8, w_dim=8, mapping_layers=2, grid_resolution=8)
torch.manual_seed(0)
generator = Generator(GeneratorConfig(synthesis=synthesis, isosurface="small", **sizes))
shapes = generator.shapes(generator.sample_latents(2, 0), 1.0)
found = shapes.surfaces.regularizers
objective = ObjectiveConfig()
assert objective.regularizers["area"] == 0.001
expected = 0.01 * found["sdf"] + 0.001 * found["area"]
assert torch.isclose(surface_loss(regularizers_of(shapes.surfaces, objective.regularizers), objective), expected)
made = generator.textured(generator.sample_latents(16, 0), 1.0, texture_resolution=32, faces=100)
assert {frozenset(mesh.textures) for mesh in made if not mesh.empty} == {frozenset(("base_color", "emission"))}
evidence = SimpleNamespace(quality={"faces": np.array([9_000, 12_000])}, asked=4)
assert compute(["many_faces"], evidence)["many_faces"].value == 25

from get3d.images import Images
from get3d.reconstruction.config import WarmupConfig
from get3d.reconstruction.losses import image_losses

drawn = Images(torch.full((2, 3, 8, 8), 0.5), torch.ones(2, 1, 8, 8), torch.zeros(2, dtype=torch.bool))
losses = image_losses(drawn, torch.ones(2, 4, 8, 8), WarmupConfig().losses)
assert losses.keys() == {"color", "mask", "brightness"}
assert torch.isclose(losses["brightness"], torch.tensor(0.5 * 0.5**2))

import csv
from io import StringIO
from pathlib import Path
from rich.console import Console
from get3d.authoring.from_images import ImportConfig, import_images

for given in ("cameras.npy", "."):
    out = Path("file" if given == "cameras.npy" else "folder")
    config = ImportConfig(images=Path("images"), cameras=Path(given), out=out, object="chair", fov=49.13)
    report = import_images(config, Console(file=StringIO()))
    rows = list(csv.DictReader((out / "cameras.csv").open()))
    found = np.array([[float(row["azimuth"]), float(row["polar"])] for row in rows])
    assert np.abs((found - np.load("degrees.npy") + 180) % 360 - 180).max() < 0.01, found
"""


@pytest.mark.slow
def test_the_examples_are_used(tmp_path):
    chair = capture(tmp_path / "images", views=8)
    matrices = blender_matrices(chair.degrees, radius=2.0)
    np.save(tmp_path / "cameras.npy", matrices)
    np.save(tmp_path / "poses.npy", matrices)
    np.save(tmp_path / "degrees.npy", chair.degrees)
    code = "\n".join(re.findall(r"```python\n(.*?)```", DOC.read_text(), re.DOTALL)) + USE
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
