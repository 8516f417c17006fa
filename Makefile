# `make test` is all that a fresh clone needs: it makes .venv with the package, and the real clients that tests open files with.

PYTHON ?= python3
# Blender's wheel exists for one Python only.
BLENDER_PYTHON ?= python3.11

GLTF_VALIDATOR = 2.0.0-dev.3.10
BPY = 5.0.1

.PHONY: test

test: .venv/.ready .tools/node_modules/gltf-validator .venv-blender/.ready
	.venv/bin/pytest

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -q -c constraints.txt -e '.[dev,video]'
	touch $@

.tools/node_modules/gltf-validator:
	npm install --silent --no-save --prefix .tools gltf-validator@$(GLTF_VALIDATOR)

# Blender needs numpy < 2, hence an environment of its own.
.venv-blender/.ready:
	$(BLENDER_PYTHON) -m venv .venv-blender
	.venv-blender/bin/pip install -q 'numpy<2' bpy==$(BPY)
	touch $@
