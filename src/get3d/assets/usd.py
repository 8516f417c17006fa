"""USD packages, .usdz, as scenes of trimesh; needs the package usd-core."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Int
from PIL import Image

from get3d.assets.asset import bytes_of_linear
from get3d.files import InputError

__all__ = ["load_usdz", "up_of_usdz"]


def up_of_usdz(path: Path) -> str:
    """The direction that is up: y or z."""
    from pxr import UsdGeom

    return str(UsdGeom.GetStageUpAxis(_stage(path))).lower()


def load_usdz(path: Path, missing: list[str]) -> trimesh.Scene:
    """All visible meshes, with the base colours and textures of their preview surfaces.

    Args:
        path: the file.
        missing: gets the names of textures that cannot be read.

    Raises:
        InputError: a layer or a texture lies outside the package.
    """
    from pxr import Usd, UsdGeom

    stage = _stage(path)
    scene = trimesh.Scene()
    places = UsdGeom.XformCache()
    materials: dict[str, Any] = {}
    for prim in stage.Traverse(Usd.TraverseInstanceProxies()):
        if not prim.IsA(UsdGeom.Mesh) or UsdGeom.Imageable(prim).ComputeVisibility() == "invisible":
            continue
        if UsdGeom.Imageable(prim).ComputePurpose() in ("guide", "proxy"):
            continue
        # Row vectors there, columns here.
        matrix = np.array(places.GetLocalToWorldTransform(prim)).T
        for shape in _shapes(prim, path, materials, missing):
            scene.add_geometry(shape, transform=matrix)
    return scene


def _stage(path: Path) -> Any:
    from pxr import Usd

    stage = Usd.Stage.Open(str(path))
    for layer in stage.GetUsedLayers():
        if not layer.anonymous:
            _require_within(path, layer.realPath)
    return stage


def _require_within(path: Path, name: str) -> None:
    inner = name.removeprefix(str(path))
    if not (name.startswith(str(path)) and inner[:1] in ("", "[")):
        raise InputError(f"it names the file {name!r}, which lies outside the package; pack it again")


def _shapes(prim: Any, path: Path, materials: dict[str, Any], missing: list[str]) -> list[trimesh.Trimesh]:
    """The triangles of a mesh, a shape for each of its materials, every corner a vertex of its own."""
    from pxr import UsdGeom, UsdShade

    mesh = UsdGeom.Mesh(prim)
    points = np.array(mesh.GetPointsAttr().Get() or [], dtype=np.float64).reshape(-1, 3)
    counts = np.array(mesh.GetFaceVertexCountsAttr().Get() or [], dtype=np.int64)
    indices = np.array(mesh.GetFaceVertexIndicesAttr().Get() or [], dtype=np.int64)
    polygon, corners = _triangles(counts)
    if mesh.GetOrientationAttr().Get() == UsdGeom.Tokens.leftHanded:
        corners = corners[:, ::-1]
    if not len(corners):
        return []
    uv = _per_corner(prim, ("st", "st0", "UVMap", "uv"), indices, corners, polygon)
    colors = _per_corner(prim, ("displayColor",), indices, corners, polygon)
    chosen = np.zeros(len(counts), dtype=np.int64)
    bindings = [UsdShade.MaterialBindingAPI(prim)]
    for number, subset in enumerate(UsdShade.MaterialBindingAPI(prim).GetMaterialBindSubsets(), 1):
        chosen[np.array(subset.GetIndicesAttr().Get(), dtype=np.int64)] = number
        bindings.append(UsdShade.MaterialBindingAPI(subset.GetPrim()))
    shapes = []
    for number, binding in enumerate(bindings):
        part = np.flatnonzero(chosen[polygon] == number)
        if not len(part):
            continue
        material = _material(binding.ComputeBoundMaterial()[0], path, materials, missing)
        flat = indices[corners[part]].ravel()
        count = 3 * len(part)
        visual: Any = None
        if material is not None:
            place = None if uv is None else uv[part].reshape(count, -1)[:, :2]
            visual = trimesh.visual.TextureVisuals(uv=place, material=material)
        elif colors is not None:
            visual = trimesh.visual.ColorVisuals(vertex_colors=bytes_of_linear(colors[part].reshape(count, -1)[:, :3]))
        shapes.append(
            trimesh.Trimesh(points[flat], np.arange(count).reshape(-1, 3), visual=visual, process=False, validate=False)
        )
    return shapes


def _triangles(counts: Int[np.ndarray, " p"]) -> tuple[Int[np.ndarray, " t"], Int[np.ndarray, "t 3"]]:
    """Fans of polygons: the polygon of each triangle, and its three corners among all corners."""
    starts = counts.cumsum() - counts
    fans = (counts - 2).clip(0)
    polygon = np.repeat(np.arange(len(counts)), fans)
    step = np.arange(len(polygon)) - np.repeat(fans.cumsum() - fans, fans)
    first = starts[polygon]
    return polygon, np.stack([first, first + step + 1, first + step + 2], axis=1)


def _per_corner(
    prim: Any,
    names: tuple[str, ...],
    indices: Int[np.ndarray, " c"],
    corners: Int[np.ndarray, "t 3"],
    polygon: Int[np.ndarray, " t"],
) -> np.ndarray | None:
    """Values of the first of the named variables there is, at the corners of the triangles: [t, 3, n]."""
    from pxr import UsdGeom

    for name in names:
        variable = UsdGeom.PrimvarsAPI(prim).FindPrimvarWithInheritance(name)
        values = variable.ComputeFlattened() if variable and variable.HasValue() else None
        if values is None or not len(values):
            continue
        array = np.array(values, dtype=np.float64).reshape(len(values), -1)
        where = {
            "faceVarying": corners,
            "vertex": indices[corners],
            "varying": indices[corners],
            "uniform": np.repeat(polygon[:, None], 3, axis=1),
        }.get(variable.GetInterpolation(), np.zeros_like(corners))
        return array[where]
    return None


def _material(bound: Any, path: Path, materials: dict[str, Any], missing: list[str]) -> Any:
    """The base colour, texture and holes of a preview surface."""
    key = str(bound.GetPath()) if bound else ""
    if key not in materials:
        surface = bound.ComputeSurfaceSource()[0] if bound else None
        materials[key] = _preview(surface, path, missing) if surface else None
    return materials[key]


def _preview(surface: Any, path: Path, missing: list[str]) -> Any:
    color = surface.GetInput("diffuseColor")
    threshold = surface.GetInput("opacityThreshold")
    cutoff = float(threshold.Get() or 0) if threshold else 0.0
    factor, image = [0.18, 0.18, 0.18], None
    if color and color.HasConnectedSource():
        texture = _shader(color)
        factor = [1.0, 1.0, 1.0]
        file = texture.GetInput("file").Get() if texture and texture.GetInput("file") else None
        image = _image(file, path, missing)
        if image is None and texture and texture.GetInput("fallback"):
            factor = list(texture.GetInput("fallback").Get() or (1.0, 1.0, 1.0))[:3]
    elif color and color.Get() is not None:
        factor = list(color.Get())
    return trimesh.visual.material.PBRMaterial(
        baseColorFactor=[*map(float, factor), 1.0],
        baseColorTexture=image,
        alphaMode="MASK" if cutoff > 0 else "OPAQUE",
        alphaCutoff=cutoff if cutoff > 0 else None,
    )


def _shader(value: Any) -> Any:
    from pxr import UsdShade

    return UsdShade.Shader(value.GetConnectedSources()[0][0].source.GetPrim())


def _image(file: Any, path: Path, missing: list[str]) -> Image.Image | None:
    from pxr import Ar

    if file is None:
        return None
    if file.resolvedPath:
        _require_within(path, file.resolvedPath)
        asset = Ar.GetResolver().OpenAsset(Ar.ResolvedPath(file.resolvedPath))
        content = asset.GetBuffer() if asset else None
        try:
            image = Image.open(io.BytesIO(content or b""))
            image.info["file_path"] = file.path
            return image
        except Exception:  # Decoders of damaged images raise whatever they do.
            pass
    missing.append(file.path)
    return None
