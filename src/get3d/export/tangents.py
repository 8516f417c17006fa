"""Tangents at vertices: the directions that a normal map's texels are measured along."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

__all__ = ["vertex_tangents"]


def vertex_tangents(
    vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], normals: Float[Tensor, "v 3"], uv: Float[Tensor, "v 2"]
) -> Float[Tensor, "v 4"]:
    """Unit tangents along u, orthogonal to the normals, and the sign of the bitangent (glTF 2.0, section 3.7.2.1).

    The mean of the faces around a vertex, by their areas; v grows along sign · normal × tangent.
    """
    a, b, c = vertices[faces].unbind(1)
    corners = uv[faces]
    (u1, v1), (u2, v2) = ((corners[:, number] - corners[:, 0]).unbind(1) for number in (1, 2))
    turn = u1 * v2 - u2 * v1
    along = normalize(((b - a) * v2[:, None] - (c - a) * v1[:, None]) * turn.sign()[:, None], dim=1)
    area = torch.linalg.cross(b - a, c - a).norm(dim=1, keepdim=True)
    # A texture is mirrored where its triangles turn the other way.
    whole = torch.cat([along, turn.sign()[:, None]], dim=1) * area
    summed = vertices.new_zeros(len(vertices), 4).index_add(0, faces.flatten(), whole.repeat_interleave(3, dim=0))
    tangents = summed[:, :3] - (summed[:, :3] * normals).sum(1, keepdim=True) * normals
    # Any direction will do where all faces are without area in the texture.
    flat = normals.abs().argmin(1)
    other = torch.linalg.cross(normals, torch.eye(3).to(normals)[flat])
    lost = tangents.norm(dim=1, keepdim=True) <= 1e-6 * summed[:, :3].norm(dim=1, keepdim=True).clamp(min=1e-20)
    sign = torch.where(summed[:, 3:] < 0, -1.0, 1.0).to(tangents)
    return torch.cat([normalize(torch.where(lost, other, tangents), dim=1, eps=1e-30), sign], dim=1)
