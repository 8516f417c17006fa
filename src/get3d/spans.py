"""Names of the parts of a training step, as PyTorch's profiler shows them and `get3d bench` times them.

The code marks the forward pass of each with `torch.profiler.record_function`; whose gradient an operation of a backward
pass is, the profiler knows.
"""

__all__ = ["DISCRIMINATOR", "EXTRACTION", "FIELDS", "GENERATOR_LOSS", "PLANES", "R1", "RASTER", "TEXTURE", "UPDATE"]

PLANES = "mapping and planes"
FIELDS = "fields on the grid"
EXTRACTION = "extraction"
RASTER = "rasterising and mask"
TEXTURE = "texture at covered pixels"
DISCRIMINATOR = "discriminator"
GENERATOR_LOSS = "discriminator, for the generator"
R1 = "R1"
UPDATE = "optimisers and EMA"
