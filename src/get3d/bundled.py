"""The bundled models, by name."""

from pathlib import Path

__all__ = ["MODEL_FILE", "bundled"]

MODEL_FILE = "model.safetensors"
"""Name of the file of a model."""

MODELS_FOLDER = Path(__file__).parent / "models"


def bundled() -> dict[str, Path]:
    """The file of each bundled model, by its name."""
    return {path.parent.name: path for path in sorted(MODELS_FOLDER.glob(f"*/{MODEL_FILE}"))}
