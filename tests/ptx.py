"""A program: compiles modules of Warp kernels to CUDA's PTX, which needs no GPU.

Arguments: a folder for the results, the file of a module, and architectures; prints the compiler's log. It needs a
process of its own: the compiler writes to its standard output.
"""

import sys
from importlib.util import module_from_spec, spec_from_file_location

import warp as wp

from get3d.render.kernels import start_warp


def main(folder: str, file: str, *architectures: str) -> None:
    """Compiles."""
    start_warp()
    wp.config.kernel_cache_dir = folder
    # At this level alone, warnings of the compiler are printed. Precompiled headers would cause some.
    wp.config.log_level = wp.LOG_DEBUG
    wp.config.use_precompiled_headers = False
    spec = spec_from_file_location("kernels_to_compile", file)
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    for architecture in architectures:
        wp.compile_aot_module(module, arch=int(architecture), use_ptx=True, module_dir=f"{folder}/{architecture}")


if __name__ == "__main__":
    main(*sys.argv[1:])
