"""What a warm-started generator is measured by: masks of held-out views, meshes of random draws, and images."""

from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from warmup import thin_parts

from get3d.export import mesh_report
from get3d.meshes import Mesh


def mask_numbers(mask: Tensor, real: Tensor) -> dict[str, float]:
    """IoU of all pixels, near thin parts of either, and in the lowest third of the object; recall of thin parts."""
    a, b = mask > 0.5, real > 0.5
    thin_a, thin_b = thin_parts(mask) > 0, thin_parts(real) > 0
    region = F.max_pool2d((thin_a | thin_b).float(), 3, 1, 1) > 0
    rows = b.flatten(1, 2).any(2)
    height = torch.arange(rows.shape[1])
    low = torch.where(rows, height, 0).amax(1)
    high = torch.where(rows, height, rows.shape[1]).amin(1)
    third = (height > (low - (low - high) / 3)[:, None])[:, None, :, None].expand_as(b)

    def iou(where: Tensor) -> float:
        both, either = (a & b & where).flatten(1).sum(1), ((a | b) & where).flatten(1).sum(1)
        return float((both / either.clamp(min=1))[either > 0].mean())

    recall = (a & thin_b).flatten(1).sum(1) / thin_b.flatten(1).sum(1).clamp(min=1)
    some = thin_b.flatten(1).sum(1) >= 5
    return {
        "iou": iou(torch.ones_like(b)),
        "iou_thin": iou(region),
        "iou_low": iou(third),
        "thin_recall": float(recall[some].mean()),
    }


def roughness(mesh: Mesh) -> float:
    """Mean angle between neighbouring faces in degrees."""
    faces = mesh.faces
    a, b, c = mesh.vertices[faces].unbind(1)
    normal = F.normalize(torch.linalg.cross(b - a, c - a), dim=1)
    start, end = faces.flatten(), faces.roll(-1, 1).flatten()
    key = torch.minimum(start, end) * len(mesh.vertices) + torch.maximum(start, end)
    owner = torch.arange(len(faces)).repeat_interleave(3)
    order = key.argsort()
    same = key[order][1:] == key[order][:-1]
    first, second = owner[order[:-1][same]], owner[order[1:][same]]
    cosine = (normal[first] * normal[second]).sum(1).clamp(-1, 1)
    return float(torch.rad2deg(torch.acos(cosine)).mean())


def mesh_numbers(meshes: list[Mesh]) -> dict[str, float]:
    """Share of meshes that are one watertight body, mean number of bodies, and mean angle between faces."""
    reports = [mesh_report(mesh) for mesh in meshes]
    return {
        "single": sum(r.watertight and r.components == 1 for r in reports) / len(reports),
        "bodies": sum(r.components for r in reports) / len(reports),
        "angle": sum(roughness(mesh) for mesh in meshes) / len(meshes),
        "faces": sum(len(mesh.faces) for mesh in meshes) / len(meshes),
    }


def save_rows(rows: list[Tensor], path: Path) -> None:
    """Writes images [k, 3, r, r] in [−1, 1], a row for each tensor, as one PNG."""
    sheet = torch.cat([torch.cat(list(row), 2) for row in rows], 1)
    Image.fromarray(((sheet.clamp(-1, 1) + 1) * 127.5).byte().permute(1, 2, 0).numpy()).save(path)
