"""Objects as .usdz for Apple's and other USD viewers. It needs the package usd-core."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from get3d.export.encoding import archive_bytes, png_bytes
from get3d.export.material_mesh import MaterialMesh
from get3d.export.report import mesh_report
from get3d.export.welded import WeldedMesh
from get3d.files import not_written, writing
from get3d.materials import CHANNELS

__all__ = ["write_usdz"]

_ALIGNMENT = 64
"""Of files in the package (USDZ file format specification)."""


def write_usdz(textured: MaterialMesh, path: Path) -> None:
    """Writes a .usdz: one mesh with a UsdPreviewSurface and its textures; a unit is a metre, +Y is up."""
    from pxr import Tf

    textures = {
        f"textures/{name}.png": png_bytes(texture)
        for name, texture in textured.textures.items()
        if CHANNELS[name].usd is not None
    }
    # The stage must outlive what is asked of its layer, which can only be written to a file.
    stage = _stage(textured)
    with (
        writing(path) as temporary,
        tempfile.TemporaryDirectory(dir=temporary.parent, prefix=f".{path.stem}.") as folder,
    ):
        layer = Path(folder) / "object.usdc"
        try:
            stage.GetRootLayer().Export(str(layer))
        except Tf.ErrorException as error:
            raise not_written(path, "the disk is full or has failed") from error
        temporary.write_bytes(archive_bytes({layer.name: layer.read_bytes(), **textures}, align=_ALIGNMENT))


def _stage(textured: MaterialMesh) -> Any:
    from pxr import Gf, Kind, Sdf, Usd, UsdGeom, UsdShade, Vt

    stage = Usd.Stage.CreateInMemory()
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    root = UsdGeom.Xform.Define(stage, "/object")
    stage.SetDefaultPrim(root.GetPrim())
    Usd.ModelAPI(root).SetKind(Kind.Tokens.component)

    welded, report = WeldedMesh.of(textured), mesh_report(textured.mesh)
    mesh = UsdGeom.Mesh.Define(stage, "/object/mesh")
    points = Vt.Vec3fArray.FromNumpy(welded.positions.numpy())
    mesh.CreatePointsAttr(points)
    mesh.CreateExtentAttr(UsdGeom.PointBased.ComputeExtent(points))
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(welded.position), 3, np.int32)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(welded.position.flatten().int().numpy()))
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateDoubleSidedAttr(not (report.closed and report.volume > 0))
    mesh.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(welded.normals[welded.normal.flatten()].numpy()))
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.faceVarying)
    uv = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.faceVarying)
    uv.Set(Vt.Vec2fArray.FromNumpy(welded.uv.numpy()))
    uv.SetIndices(Vt.IntArray.FromNumpy(welded.place.flatten().int().numpy()))

    material = UsdShade.Material.Define(stage, "/object/material")
    UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)
    surface = UsdShade.Shader.Define(stage, "/object/material/surface")
    surface.CreateIdAttr("UsdPreviewSurface")
    material.CreateSurfaceOutput().ConnectToSource(surface.ConnectableAPI(), "surface")
    reader = UsdShade.Shader.Define(stage, "/object/material/st")
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
    reader.CreateOutput("result", Sdf.ValueTypeNames.Float2)

    for channel in CHANNELS.values():
        painted = channel.name in textured.textures
        if channel.usd is None or not (painted or channel.learnt):
            continue
        scalar = channel.components == 1
        # Three numbers are a colour, or a direction.
        direction = not scalar and channel.color_space == "linear"
        names = Sdf.ValueTypeNames
        kind = names.Float if scalar else names.Normal3f if direction else names.Color3f
        given = surface.CreateInput(channel.usd, kind)
        if not painted:
            numbers = textured.linear_constant(channel.name)
            given.Set(numbers[0] if scalar else Gf.Vec3f(*numbers))
            continue
        image = UsdShade.Shader.Define(stage, f"/object/material/{channel.name}")
        image.CreateIdAttr("UsdUVTexture")
        image.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(f"textures/{channel.name}.png")
        space = "sRGB" if channel.color_space == "srgb" else "raw"
        image.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set(space)
        if direction:
            image.CreateInput("scale", Sdf.ValueTypeNames.Float4).Set(Gf.Vec4f(2, 2, 2, 1))
            image.CreateInput("bias", Sdf.ValueTypeNames.Float4).Set(Gf.Vec4f(-1, -1, -1, 0))
        for wrap in ("wrapS", "wrapT"):
            image.CreateInput(wrap, Sdf.ValueTypeNames.Token).Set("repeat")
        image.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(reader.ConnectableAPI(), "result")
        output = "r" if scalar else "rgb"
        image.CreateOutput(output, Sdf.ValueTypeNames.Float if scalar else Sdf.ValueTypeNames.Float3)
        given.ConnectToSource(image.ConnectableAPI(), output)
    return stage
