"""Published networks' tensors, made by a rule from their names, so that no weights need storing."""

import json
import re
import zlib

import numpy as np
import torch
from torch import Tensor

from conftest import FIXTURES

SHAPES = json.loads((FIXTURES / "state_dicts.json").read_text())
SEED = 20220922


def state_dict(model: str, resolution: int | None = None) -> dict[str, Tensor]:
    """The tensors of a model of state_dicts.json; of a discriminator, those for images of the given resolution."""
    names = {name: shape for name, shape in SHAPES[model].items() if resolution is None or _side(name) <= resolution}
    return {name: tensor(name, shape) for name, shape in names.items()}


def tensor(name: str, shape: list[int]) -> Tensor:
    """One tensor: the rule draws from a generator seeded with the name, and scales by what kind of tensor it is."""

    def normal() -> np.ndarray:
        generator = np.random.default_rng([SEED, zlib.crc32(name.encode())])
        return generator.standard_normal(shape).astype(np.float32)

    leaf = name.rsplit(".", 1)[-1]
    of_mapping = ("mapping" in name and ".fc" in name) or name == "mapping.embed.weight"
    if leaf == "resample_filter":
        value = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 64
    elif leaf == "weight":
        value = np.float32(100) * normal() if of_mapping else normal()
    elif name.endswith("affine.bias"):
        value = np.float32(1) + np.float32(0.1) * normal()
    elif leaf == "bias":
        value = np.float32(10 if "mapping" in name else 0.1) * normal()
    elif leaf in ("noise_strength", "w_avg"):
        value = np.float32(0.1) * normal()
    else:
        value = normal()
    return torch.from_numpy(np.asarray(value, dtype=np.float32))


def relative_error(found: Tensor, expected: np.ndarray) -> float:
    """Largest difference, relative to the largest expected value."""
    reference = torch.from_numpy(expected)
    return float((found.detach() - reference).abs().max() / (1e-6 + reference.abs().max()))


def _side(name: str) -> int:
    block = re.match(r"(?:mask_)?b(\d+)\.", name)
    return int(block[1]) if block else 0
