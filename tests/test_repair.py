import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from get3d.export import repair, weld
from get3d.meshes import Mesh
from manifold import assert_closed_manifold, signed_volume
from solids import soup, sponge, torus

TETRAHEDRON = [[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]]


def check(mesh: Mesh) -> None:
    """Closed and manifold by its numbers, and by its positions."""
    assert_closed_manifold(mesh.faces, mesh.vertices.shape[0])
    assert len(mesh.vertices.unique(dim=0)) == mesh.vertices.shape[0]


def parts(mesh: Mesh) -> int:
    label = torch.arange(mesh.vertices.shape[0])
    for _ in range(mesh.vertices.shape[0]):
        low = label[mesh.faces].min(dim=1, keepdim=True).values.expand(-1, 3)
        label = label.scatter_reduce(0, mesh.faces.flatten(), low.flatten(), "amin")
    return len(label.unique())


def test_weld_joins_equal_positions_only() -> None:
    mesh = torus(16)
    split = Mesh(mesh.vertices[mesh.faces].flatten(0, 1), torch.arange(mesh.faces.numel()).view(-1, 3))
    welded, source = weld(split)
    assert welded.vertices.shape == mesh.vertices.shape
    assert torch.equal(welded.vertices[welded.faces], mesh.vertices[mesh.faces])
    assert torch.equal(split.vertices[source], welded.vertices)
    assert bool((source.diff() > 0).all())


def test_weld_takes_both_zeros_as_one_and_drops_faces_that_collapse() -> None:
    mesh = soup([[0, 1, 2], [0, 3, 1]], [[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [-0.0, 0, 0]])
    welded, _ = weld(mesh)
    assert welded.vertices.shape[0] == 3
    assert welded.faces.tolist() == [[0, 1, 2]]


def test_a_sound_mesh_is_left_as_it_is() -> None:
    mesh = torus(16)
    fixed = repair(mesh)
    assert torch.equal(fixed.vertices[fixed.faces], mesh.vertices[mesh.faces])


def test_two_solids_that_share_an_edge_come_apart() -> None:
    # Around the edge 0-1: one tetrahedron at +x, one at −x.
    mesh = soup(
        [*TETRAHEDRON, [0, 1, 4], [0, 5, 1], [1, 5, 4], [4, 5, 0]],
        [[0, 0, 0], [0, 0, 1], [1, -0.5, 0.5], [1, 0.5, 0.5], [-1, -0.5, 0.5], [-1, 0.5, 0.5]],
    )
    assert signed_volume(mesh.vertices, mesh.faces) > 0
    fixed = repair(mesh)
    check(fixed)
    assert parts(fixed) == 2
    # Each copy has moved into its own solid: nothing of one reaches over to the other's side.
    right = (fixed.vertices[fixed.faces][..., 0] > 0).all(dim=1)
    left = (fixed.vertices[fixed.faces][..., 0] < 0).all(dim=1)
    assert right.sum() == left.sum() == 4


def test_two_solids_that_share_a_vertex_come_apart() -> None:
    second = [[a + 3 if a else 0 for a in face] for face in TETRAHEDRON]
    positions = [[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 0, 1], [-1, 0, 0], [-1, 1, 0], [-1, 0, -1]]
    mesh = soup([*TETRAHEDRON, *second], positions)
    fixed = repair(mesh)
    check(fixed)
    assert parts(fixed) == 2
    assert fixed.vertices.shape[0] == 8


def test_flakes_vanish() -> None:
    mesh = soup([*TETRAHEDRON, [1, 2, 4], [4, 2, 1]], [[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [2, 2, 2]])
    fixed = repair(mesh)
    check(fixed)
    assert fixed.faces.shape[0] == 4
    assert fixed.vertices.shape[0] == 4


def test_open_borders_stay() -> None:
    mesh = torus(16)
    fixed = repair(Mesh(mesh.vertices, mesh.faces[: mesh.faces.shape[0] // 2]))
    assert fixed.faces.shape[0] == mesh.faces.shape[0] // 2


def test_a_mesh_without_faces_comes_back_empty() -> None:
    fixed = repair(Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.long)))
    assert fixed.faces.shape == (0, 3)
    assert fixed.vertices.shape == (0, 3)


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.sampled_from([12, 20, 28]))
def test_blocks_of_random_cells_become_manifold(seed: int, solid: int) -> None:
    """Boxes of a 4 × 4 × 4 board: they meet at edges and corners in every way there is."""
    generator = torch.Generator().manual_seed(seed % 2**63)
    cells = torch.zeros(6, 6, 6, dtype=torch.bool)
    chosen = torch.randperm(64, generator=generator)[:solid]
    cells[1 + chosen // 16, 1 + chosen // 4 % 4, 1 + chosen % 4] = True
    corners, faces = [], []
    for axis in range(3):
        for sign in (-1, 1):
            open_side = cells & ~cells.roll(-sign, axis)
            first, second = ((axis + 1) % 3, (axis + 2) % 3)
            for cell in open_side.nonzero():
                base = cell.double()
                base[axis] += (sign + 1) / 2
                square = [base.clone() for _ in range(4)]
                square[1][first] += 1
                square[2][first] += 1
                square[2][second] += 1
                square[3][second] += 1
                square = square if sign > 0 else square[::-1]
                start = len(corners)
                corners += square
                faces += [[start, start + 1, start + 2], [start, start + 2, start + 3]]
    mesh = Mesh(torch.stack(corners).float(), torch.tensor(faces))
    assert abs(signed_volume(mesh.vertices, mesh.faces) - solid) < 1e-6
    fixed = repair(mesh)
    check(fixed)
    assert fixed.faces.shape == mesh.faces.shape
    assert abs(signed_volume(fixed.vertices, fixed.faces) / solid - 1) < 0.05


def test_a_sponge_with_joined_corners_becomes_manifold() -> None:
    mesh = sponge(3)
    snapped = Mesh((mesh.vertices * 24).round() / 24, mesh.faces)
    check(repair(snapped))
