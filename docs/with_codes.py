"""A bundled model with the codes of its training objects, so that `get3d train --init-from` goes on where it ended.

    python docs/with_codes.py vase --data data/vase --out runs/vase.safetensors
    get3d train demo --data data/vase --init-from runs/vase.safetensors …

A bundled model holds the codes around which its random styles lie, along their principal components, but not whose
they are. The dataset must be of the objects that it learnt from, with any cameras: `get3d synth` with the same
`--shapes` and `--seed`.
"""

import argparse
from pathlib import Path

import torch

from get3d.checkpoints.model import CODES, WEIGHTS, load, load_weights, model_file
from get3d.datasets.loader import ImageDataset
from get3d.networks import PriorMapping
from get3d.storage import read_description, save_tensors, with_prefix


def main() -> None:
    """Writes the model that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", help="a bundled model, or the folder of a released one")
    parser.add_argument("--data", type=Path, required=True, help="a dataset of the objects that it learnt from")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    arguments = parser.parse_args()
    source, objects = model_file(arguments.kind), ImageDataset(arguments.data, "train").objects
    generator = load(source, "cpu")
    codes = []
    for mapping in (generator.mapping_geometry, generator.mapping_texture):
        if not isinstance(mapping, PriorMapping) or mapping.label_dim or mapping.bandwidth == 1:
            parser.error(f"{source} does not hold the codes of the objects of one kind")
        if len(mapping.centers) != len(objects):
            parser.error(f"{source} learnt from {len(mapping.centers)} objects, {arguments.data} has {len(objects)}")
        codes.append(mapping.known_styles())
    tensors = with_prefix(WEIGHTS, load_weights(source)) | {f"{CODES}styles": torch.stack(codes, dim=1)}
    save_tensors(arguments.out, tensors, read_description(source) | {"training_objects": list(objects)})


if __name__ == "__main__":
    main()
