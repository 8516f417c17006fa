# `make demo` and `make test` are all that a fresh clone needs: they make .venv with the package, and the real clients
# that tests open files with.

PYTHON ?= python3
# Blender's wheel exists for one Python only.
BLENDER_PYTHON ?= python3.11

CPU_TORCH = https://download.pytorch.org/whl/cpu
GLTF_VALIDATOR = 2.0.0-dev.3.10
BPY = 5.0.1

.PHONY: demo demo-train docs test test-fast

demo: .venv/.installed
	.venv/bin/get3d generate car --num 8 --out demo/cars
	.venv/bin/get3d generate chair --num 8 --out demo/chairs
	.venv/bin/get3d generate vase --num 8 --out demo/vases
	@echo "Open index.html in demo/cars, demo/chairs and demo/vases in a browser; the .glb files lie beside it."

# The whole way, from images to a model of one's own.
demo-train: .venv/.installed
	.venv/bin/get3d synth chair --out demo/data --shapes 150 --views 16 --resolution 64 --texture 256
	.venv/bin/get3d train demo --data demo/data --out demo/run
	.venv/bin/get3d generate demo/run --num 8 --out demo/trained
	@echo "Open demo/trained/index.html in a browser; the .glb files lie beside it."

# A worker a core, with one thread each, is faster than threads inside a single worker.
test: .venv/.ready .tools/node_modules/gltf-validator .venv-blender/.ready
	OMP_NUM_THREADS=1 .venv/bin/pytest -n auto --dist loadfile

# What a change is tried with while it is made; `make test` and .ci/run leave nothing out.
test-fast: .venv/.ready
	OMP_NUM_THREADS=1 .venv/bin/pytest -n auto --dist loadfile -m "not slow"

# Pages of the Python API, from the docstrings.
docs: .venv/.ready
	.venv/bin/python -W error docs/api_page.py site
	@echo "Open site/index.html."

# PyTorch's usual build for Linux brings gigabytes that only NVIDIA GPUs use. Where the build for CPUs cannot be had, any is
# taken.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@if [ "$$(uname -s)" = Linux ] && ! nvidia-smi -L >/dev/null 2>&1; then \
	    .venv/bin/pip install -q --no-deps --timeout 5 --retries 0 --index-url $(CPU_TORCH) -c constraints.txt torch \
	        2>/dev/null || echo "$(CPU_TORCH) cannot be used; taking the usual build of PyTorch."; fi
	.venv/bin/pip install -q -c constraints.txt -e .
	touch $@

.venv/.ready: .venv/.installed
	.venv/bin/pip install -q -c constraints.txt -e '.[dev,video]'
	touch $@

.tools/node_modules/gltf-validator:
	npm install --silent --no-save --prefix .tools gltf-validator@$(GLTF_VALIDATOR)

# Blender needs numpy < 2, hence an environment of its own.
.venv-blender/.ready:
	@if command -v $(BLENDER_PYTHON) >/dev/null; then \
	    $(BLENDER_PYTHON) -m venv .venv-blender && \
	    .venv-blender/bin/pip install -q 'numpy<2' bpy==$(BPY) && touch $@; \
	else echo "No $(BLENDER_PYTHON): tests with Blender are skipped."; fi
