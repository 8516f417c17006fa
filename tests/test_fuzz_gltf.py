"""Damaged and hostile glTF, COLLADA and USD are read or refused in one sentence; see `fuzzing`."""

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from conftest import FIXTURES
from fuzzing import cut_and_changed, fuzz, reads_or_refuses
from get3d.assets.loading import load_asset
from gltf_files import Glb
from models import RED, plain, png, square, write_usdz

pytestmark = pytest.mark.slow

CASES = FIXTURES / "cases"
HOSTILE = st.one_of(
    st.sampled_from([None, True, -1, 0, 1, 3, 2**31, 2**53, -(10**30), 10**400, 1e308, "", "x", "../x", [], {}, [0]]),
    st.sampled_from(["data:;base64,AAAA", "data:", "NaN", "MAT4", "VEC3", "SCALAR", "MASK", [[]], {"index": 0}]),
    st.integers(-2, 20),
    st.lists(st.integers(-1, 9), max_size=20),
    st.floats(),
)


def check(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    reads_or_refuses(lambda: load_asset(path, path.parent, max_faces=20_000, texture=64))


def everything() -> Glb:
    """A file that uses all that is read: skins, morph targets, instances, sparse lists, textures, their transforms."""
    glb, arrays = Glb(), square()
    points = glb.add(arrays["vertices"])
    sparse = {
        "count": 1,
        "indices": {"bufferView": glb.view(np.array([2], np.uint16).tobytes()), "componentType": 5123},
        "values": {"bufferView": glb.view(np.ones(3, np.float32).tobytes())},
    }
    moved = glb.add(arrays["vertices"], sparse=sparse)
    attributes = {
        "POSITION": moved,
        "NORMAL": points,
        "TEXCOORD_0": glb.add(arrays["uv"]),
        "TEXCOORD_1": glb.add(np.rint(arrays["uv"] * 255), "uint8", normalized=True),
        "COLOR_0": glb.add(np.full((4, 4), 200), "uint8", normalized=True),
        "JOINTS_0": glb.add(np.zeros((4, 4)), "uint8"),
        "WEIGHTS_0": glb.add(np.tile([1, 0, 0, 0], (4, 1))),
    }
    indices = glb.add(arrays["faces"].ravel(), "uint16")
    primitive = {"attributes": attributes, "indices": indices, "material": 0, "targets": [{"POSITION": points}]}
    glb.mesh(primitive, {**primitive, "mode": 5}, weights=[0.5])
    glb.mesh({"attributes": {"POSITION": points}, "mode": 6}, {"attributes": {"POSITION": points}, "mode": 1})
    instances = {"TRANSLATION": points, "SCALE": points}
    glb.header["skins"] = [{"joints": [1], "inverseBindMatrices": glb.add(np.eye(4).reshape(1, 16))}]
    glb.header["nodes"] = [
        {"mesh": 0, "skin": 0, "weights": [0.25]},
        {"mesh": 1, "children": [2], "extensions": {"EXT_mesh_gpu_instancing": {"attributes": instances}}},
        {"mesh": 0, "rotation": [0, 0, 0, 1], "extensions": {"KHR_node_visibility": {"visible": True}}},
    ]
    glb.header["scenes"] = [{"nodes": [0, 1]}]
    transform = {"KHR_texture_transform": {"offset": [0, 1], "scale": [2, 2], "rotation": 1, "texCoord": 1}}
    info = {"index": 0, "texCoord": 0, "extensions": transform}
    glossy = {"diffuseFactor": [1, 1, 1, 1], "diffuseTexture": info}
    glb.header["materials"] = [
        {
            "pbrMetallicRoughness": {"baseColorFactor": [0, 0, 0, 1], "baseColorTexture": info},
            "emissiveFactor": [1, 1, 1],
            "emissiveTexture": {"index": 0},
            "alphaMode": "MASK",
            "alphaCutoff": 0.5,
            "extensions": {"KHR_materials_pbrSpecularGlossiness": glossy},
        }
    ]
    glb.header["samplers"] = [{"wrapS": 33071}]
    glb.header["textures"] = [{"source": 0, "sampler": 0}]
    glb.header["images"] = [{"bufferView": glb.view(png(plain(RED)))}]
    return glb


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all that is in JSON."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, part in inner for place in [(*path, key), *places(part, (*path, key))]]


@st.composite
def changed_headers(draw: st.DrawFn, whole: Glb) -> bytes:
    glb = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 4))):
        found = places(glb.header)
        *way, key = draw(st.sampled_from(found))
        holder: Any = glb.header
        for step in way:
            holder = holder[step]
        if draw(st.booleans()) and isinstance(holder, dict):
            del holder[key]
        else:
            # A copy: hypothesis gives the same list again, which would come to hold itself.
            holder[key] = copy.deepcopy(draw(HOSTILE))
    return glb.bytes()


def test_everything_is_read(tmp_path):
    loaded = load_asset(everything().save(tmp_path / "a.glb"), tmp_path)
    assert set(loaded.missing) == {"a texture that does not repeat beyond its edge", "points and lines (1 pieces)"}
    # Twice a list of two triangles and the same as a strip of three that have an area; and four fans of two.
    assert len(loaded.asset.faces) == 2 * (2 + 3) + 4 * 2


def test_gltf_headers(tmp_path):
    fuzz(changed_headers(everything()), lambda content: check(tmp_path / "a.glb", content))


def test_glb_bytes(tmp_path):
    fuzz(cut_and_changed(everything().bytes()), lambda content: check(tmp_path / "a.glb", content))


def dae(name: str) -> bytes:
    return (CASES / name / "model.dae").read_bytes()


NUMBER = re.compile(rb'(?<=[ ">])-?\d+(?=[ "<])')


@st.composite
def changed_texts(draw: st.DrawFn, whole: bytes) -> bytes:
    """Numbers and names within a text exchanged, or elements cut out."""
    text = whole
    for _ in range(draw(st.integers(1, 4))):
        found = list(NUMBER.finditer(text))
        names = list(re.finditer(rb'(?<=")[^"<>]*(?=")', text))
        kind = draw(st.sampled_from(("number", "name", "swap", "bytes")))
        if kind == "number" and found:
            at = draw(st.sampled_from(found))
            new = draw(st.sampled_from([b"-1", b"0", b"99999999", b"1e39", b"nan", b"x", b"", b"4294967296", b"1 1"]))
            text = text[: at.start()] + new + text[at.end() :]
        elif kind == "name" and names:
            at, other = draw(st.sampled_from(names)), draw(st.sampled_from(names))
            text = text[: at.start()] + other[0] + text[at.end() :]
        elif kind == "swap":
            start, length = draw(st.integers(0, max(0, len(text) - 1))), draw(st.integers(1, 300))
            text = text[:start] + text[start + length :]
        else:
            text = draw(cut_and_changed(text)) or b" "
    return text


@pytest.mark.parametrize("name", ["dae_skin/dae_skin_mixed", "dae_material_missing"])
def test_collada(tmp_path, name):
    fuzz(changed_texts(dae(name)), lambda content: check(tmp_path / "a.dae", content))


PREVIEW = """
def PointInstancer "many" {
    point3f[] positions = [(0, 0, 0), (3, 0, 0)]
    quath[] orientations = [(1, 0, 0, 0), (1, 0, 0, 0)]
    int[] protoIndices = [0, 0]
    rel prototypes = </root/many/shape>
    def Xform "shape" {
        def Mesh "square" (prepend apiSchemas = ["MaterialBindingAPI"]) {
            point3f[] points = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)]
            int[] faceVertexCounts = [4]
            int[] faceVertexIndices = [0, 1, 2, 3]
            texCoord2f[] primvars:map = [(0, 0), (1, 0), (1, 1), (0, 1)] (interpolation = "vertex")
            color3f[] primvars:displayColor = [(1, 0, 0)] (interpolation = "constant")
            rel material:binding = </root/paint>
        }
        def Cone "cone" { double height = 2
        }
    }
}
def Material "paint" {
    token outputs:surface.connect = </root/paint/surface.outputs:surface>
    def Shader "surface" {
        uniform token info:id = "UsdPreviewSurface"
        color3f inputs:diffuseColor.connect = </root/paint/texture.outputs:rgb>
        float inputs:opacityThreshold = 0.5
        token outputs:surface
    }
    def Shader "texture" {
        uniform token info:id = "UsdUVTexture"
        asset inputs:file = @red.png@
        float2 inputs:st.connect = </root/paint/moved.outputs:result>
        float3 outputs:rgb
    }
    def Shader "moved" {
        uniform token info:id = "UsdTransform2d"
        float2 inputs:in.connect = </root/paint/reader.outputs:result>
        float2 inputs:scale = (2, 2)
        float2 outputs:result
    }
    def Shader "reader" {
        uniform token info:id = "UsdPrimvarReader_float2"
        string inputs:varname = "map"
        float2 outputs:result
    }
}
"""


def test_usd_layers(tmp_path):
    def read(text: bytes) -> None:
        path = write_usdz(tmp_path / "a.usdz", text.decode(errors="replace"), files=[("red.png", png(plain(RED)))])
        reads_or_refuses(lambda: load_asset(path, tmp_path, max_faces=20_000, texture=64))

    fuzz(changed_texts(PREVIEW.encode()), read)


def test_usd_packages(tmp_path):
    path = write_usdz(tmp_path / "whole.usdz", PREVIEW, files=[("red.png", png(plain(RED)))])
    fuzz(cut_and_changed(path.read_bytes()), lambda content: check(tmp_path / "a.usdz", content))
