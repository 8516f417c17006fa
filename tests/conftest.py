"""Shapes and types of every annotated call are checked while the tests run; tests run on each device there is."""

import importlib.util
from pathlib import Path

import jaxtyping
import pytest
import torch
from hypothesis import settings

SOURCE = Path(importlib.util.find_spec("get3d").origin).parent


def _module_names() -> list[str]:
    """All modules but those of Warp kernels, which Warp must compile from their plain source."""
    files = [path.relative_to(SOURCE).with_suffix("") for path in SOURCE.rglob("*.py")]
    return ["get3d." + ".".join(file.parts) for file in files if not file.name.endswith(("__init__", "kernels"))]


jaxtyping.install_import_hook(_module_names(), "beartype.beartype")

# Slow machines are no failures.
settings.register_profile("without a deadline", deadline=None)
settings.load_profile("without a deadline")

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(params=["cpu"] + (["cuda"] if torch.cuda.is_available() else []))
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)
