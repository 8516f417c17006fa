"""Builds the API pages from the docstrings of the public modules.

python -W error docs/api_page.py site
"""

import importlib
import sys
from pathlib import Path

import pdoc

MODULES = (
    "get3d",
    "get3d.arrays",
    "get3d.authoring.from_images.formats",
    "get3d.authoring.from_images.poses",
    "get3d.checkpoints.published",
    "get3d.color",
    "get3d.evaluation.metric_table",
    "get3d.export",
    "get3d.files",
    "get3d.generation.shape_list",
    "get3d.generator_config",
    "get3d.latents",
    "get3d.materials",
    "get3d.reconstruction.config",
    "get3d.reconstruction.losses",
    "get3d.render.environment",
    "get3d.render.learnt_light",
    "get3d.render.lights",
    "get3d.render.shade",
)
"""The package with the modules that it lists as public, and those that the documentation imports from."""


def build(out: Path) -> None:
    """Writes a page for each module, and an index."""
    for name in MODULES:
        module = importlib.import_module(name)
        # A name that is imported when it is first used is not yet in the module, where pdoc looks for it.
        for public in getattr(module, "__all__", ()):
            setattr(module, public, getattr(module, public))
    pdoc.render.configure(docformat="google", show_source=False, template_directory=Path(__file__).parent / "templates")
    # A function may have the name of the module that it is defined in, which would get a page of its own.
    pdoc.pdoc(MODULES[0], r"!get3d\.\w+\.", *MODULES[1:], r"!get3d\.export\.", output_directory=out)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
