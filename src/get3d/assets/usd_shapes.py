"""USD prims with a surface, as triangles: meshes and the named solids."""

from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float

from get3d.assets.files import FolderResolver
from get3d.assets.polygons import triangles
from get3d.assets.usd_materials import Paint, UsdMaterials
from get3d.files import InputError

__all__ = ["shapes_of"]

_UV_NAMES = ("st", "st0", "UVMap", "uv", "map1")
"""Usual names of texture coordinates, for textures that name none."""
_COLORS = "displayColor"


def shapes_of(
    prim: Any, time: Any, materials: UsdMaterials, resolver: FolderResolver, max_faces: int
) -> list[trimesh.Trimesh]:
    """The triangles of a prim, a shape for each of its materials, every corner a vertex of its own.

    Raises:
        InputError: its lists do not fit each other, or it has more than `max_faces` corners times three.
    """
    if prim.GetTypeName() != "Mesh":
        return _solid(prim, time, materials)
    mesh = _Mesh(prim, time, resolver, max_faces)
    shapes = []
    for binding, polygons in mesh.parts():
        part = np.flatnonzero(polygons[mesh.polygon])
        if not len(part):
            continue
        paint = materials.paint(binding)
        flat = mesh.corners[part].ravel()
        visual = None
        colors = mesh.variable((paint.colors if paint else None) or _COLORS)
        if paint is not None:
            uv = None if paint.uv is None else mesh.first((paint.uv,) if paint.uv else _UV_NAMES)
            if paint.uv is not None and uv is None:
                resolver.missing.append(f"texture coordinates {paint.uv or _UV_NAMES[0]}")
            place = None if uv is None else _moved(uv[part].reshape(len(flat), -1), paint, resolver)
            visual = trimesh.visual.TextureVisuals(uv=place, material=paint.material)
            colors = colors if paint.colors else None
        elif colors is not None:
            visual = trimesh.visual.TextureVisuals(material=materials.white)
        if colors is not None and visual is not None:
            visual.vertex_attributes["color"] = _three(colors[part].reshape(len(flat), -1))
        normals = mesh.normals()
        shapes.append(
            trimesh.Trimesh(
                mesh.points[mesh.indices[flat]],
                np.arange(len(flat)).reshape(-1, 3),
                vertex_normals=None if normals is None else normals[part].reshape(-1, 3),
                visual=visual,
                process=False,
                validate=False,
            )
        )
    return shapes


class _Mesh:
    """A mesh at a point in time.

    Attributes:
        points: [P, 3].
        indices: [C] numbers of points, polygon after polygon.
        polygon: [T] index of each triangle's polygon.
        corners: [T, 3] positions of each triangle's corners in `indices`.
    """

    def __init__(self, prim: Any, time: Any, resolver: FolderResolver, max_faces: int) -> None:
        from pxr import UsdGeom, UsdSkel

        self._prim, self._time = prim, time
        mesh = UsdGeom.Mesh(prim)
        self.points = _array(mesh.GetPointsAttr(), time, np.float64).reshape(-1, 3)
        self._counts = _array(mesh.GetFaceVertexCountsAttr(), time, np.int64)
        self.indices = _array(mesh.GetFaceVertexIndicesAttr(), time, np.int64)
        if len(self._counts) and (self._counts.min() < 0 or self._counts.sum() > len(self.indices)):
            raise InputError(f"the mesh {prim.GetPath()} has too few corners for its faces; export it again")
        if len(self.indices) and not 0 <= self.indices.min() <= self.indices.max() < len(self.points):
            raise InputError(f"the mesh {prim.GetPath()} names points that are not there; export it again")
        if len(self.indices) > 6 * max_faces:
            raise InputError(f"the mesh {prim.GetPath()} has more than --max-faces {max_faces} faces; simplify it")
        self.polygon, self.corners = triangles(self._counts, self.points[self.indices])
        if mesh.GetOrientationAttr().Get(time) == UsdGeom.Tokens.leftHanded:
            self.corners = self.corners[:, ::-1]
        # Skinned meshes are drawn in the bind pose; animation is not read.
        if UsdSkel.BindingAPI(prim).GetInheritedAnimationSource():
            resolver.missing.append(f"the pose of {prim.GetName()}")
        scheme = mesh.GetSubdivisionSchemeAttr()
        if scheme.HasAuthoredValue() and scheme.Get(time) != UsdGeom.Tokens.none:
            resolver.missing.append(f"subdivision ({scheme.Get(time)})")

    def parts(self) -> list[tuple[Any, np.ndarray]]:
        """Material bindings, and the polygons of each."""
        from pxr import UsdShade

        chosen = np.zeros(len(self._counts), dtype=np.int64)
        bindings = [UsdShade.MaterialBindingAPI(self._prim)]
        for number, subset in enumerate(bindings[0].GetMaterialBindSubsets(), 1):
            chosen[_array(subset.GetIndicesAttr(), self._time, np.int64)] = number
            bindings.append(UsdShade.MaterialBindingAPI(subset.GetPrim()))
        return [(binding, chosen == number) for number, binding in enumerate(bindings)]

    def first(self, names: tuple[str, ...]) -> Float[np.ndarray, "t 3 n"] | None:
        """Values of the first variable that exists, by name."""
        for name in names:
            values = self.variable(name)
            if values is not None:
                return values
        return None

    def variable(self, name: str) -> Float[np.ndarray, "t 3 n"] | None:
        """Values of a variable at the corners of the triangles; None if there are none."""
        from pxr import UsdGeom

        found = UsdGeom.PrimvarsAPI(self._prim).FindPrimvarWithInheritance(name)
        values = found.ComputeFlattened(self._time) if found and found.HasValue() else None
        return None if values is None else self._spread(values, found.GetInterpolation())

    def normals(self) -> Float[np.ndarray, "t 3 3"] | None:
        """The normals of the mesh."""
        from pxr import UsdGeom

        values = self.variable("normals")
        if values is None:
            mesh = UsdGeom.Mesh(self._prim)
            given = mesh.GetNormalsAttr().Get(self._time)
            values = None if given is None else self._spread(given, mesh.GetNormalsInterpolation())
        return values if values is not None and values.shape[2] == 3 else None

    def _spread(self, values: Any, interpolation: str) -> Float[np.ndarray, "t 3 n"] | None:
        array = np.array(values)
        if not len(array) or array.dtype.kind not in "fiu":
            return None
        array = array.astype(np.float64).reshape(len(array), -1)
        where = {
            "faceVarying": self.corners,
            "vertex": self.indices[self.corners],
            "varying": self.indices[self.corners],
            "uniform": np.repeat(self.polygon[:, None], 3, axis=1),
        }.get(interpolation, np.zeros_like(self.corners))
        if where.size and where.max() >= len(array):
            raise InputError(f"the mesh {self._prim.GetPath()} has too few values at its corners; export it again")
        return array[where]


def _array(attribute: Any, time: Any, dtype: type) -> np.ndarray:
    values = attribute.Get(time)
    return np.zeros(0, dtype) if values is None else np.array(values, dtype=dtype)


def _three(colors: Float[np.ndarray, "c n"]) -> Float[np.ndarray, "c 3"]:
    return colors[:, :3] if colors.shape[1] >= 3 else np.repeat(colors[:, :1], 3, axis=1)


def _moved(uv: Float[np.ndarray, "c n"], paint: Paint, resolver: FolderResolver) -> Float[np.ndarray, "c 2"] | None:
    """UV coordinates; v points up in both conventions."""
    if uv.shape[1] < 2:
        return None
    uv = uv[:, :2] @ paint.transform[:, :2].T + paint.transform[:, 2]
    if not paint.repeats and (uv.min() < -0.01 or uv.max() > 1.01):
        resolver.missing.append("a texture that does not repeat beyond its edge")
    return uv


def _solid(prim: Any, time: Any, materials: UsdMaterials) -> list[trimesh.Trimesh]:
    """A sphere, cube, cylinder, cone, capsule or plane."""
    from pxr import UsdGeom

    def given(name: str) -> Any:
        return prim.GetAttribute(name).Get(time)

    kind = str(prim.GetTypeName())
    if kind == "Sphere":
        body = trimesh.creation.uv_sphere(float(given("radius")), count=(32, 32))
    elif kind == "Cube":
        body = trimesh.creation.box(np.full(3, float(given("size"))))
    elif kind == "Plane":
        half = np.array([float(given("width")), float(given("length"))]) / 2
        flat = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
        body = trimesh.Trimesh(np.pad(flat, ((0, 0), (0, 1))), [[0, 1, 2], [0, 2, 3]], process=False)
    else:
        height, radius = float(given("height")), float(given("radius"))
        make = {
            "Cylinder": trimesh.creation.cylinder,
            "Cone": trimesh.creation.cone,
            "Capsule": trimesh.creation.capsule,
        }[kind]
        body = make(height=height, radius=radius)
        if kind == "Cone":
            body.vertices[:, 2] -= height / 2
    if kind not in ("Sphere", "Cube"):
        body.vertices = body.vertices[:, {"X": (2, 0, 1), "Y": (1, 2, 0)}.get(str(given("axis")), (0, 1, 2))]
    paint = materials.paint(prim)
    material = None if paint is None else paint.material
    visual = None if material is None else trimesh.visual.TextureVisuals(material=material)
    colors = UsdGeom.Gprim(prim).GetDisplayColorAttr().Get(time)
    if material is None and colors:
        visual = trimesh.visual.TextureVisuals(material=materials.white)
        visual.vertex_attributes["color"] = np.tile(np.array(colors[0], np.float64), (len(body.vertices), 1))
    return [trimesh.Trimesh(body.vertices, body.faces, visual=visual, process=False, validate=False)]
