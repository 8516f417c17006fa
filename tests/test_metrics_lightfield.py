import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import plain_lightfield as plain
from conftest import FIXTURES
from get3d.meshes import Mesh, MeshBatch
from get3d.metrics import LightFieldDescriptors, in_unit_cube, light_field_descriptors, light_field_distance, lightfield

FOLDER = FIXTURES / "lfd"
PAIRS = json.loads((FOLDER / "lfd_pairwise.json").read_text())
NAMES = PAIRS["names"]
STORED = {"ArtCoeff": "region", "FdCoeff": "contour", "CirCoeff": "circularity", "EccCoeff": "eccentricity"}


def fixture_mesh(name: str, dtype: torch.dtype = torch.float32) -> Mesh:
    vertices, faces = [], []
    for line in (FOLDER / "meshes" / f"{name}.obj").read_text().splitlines():
        kind, *values = line.split()
        if kind == "v":
            vertices.append([float(value) for value in values])
        elif kind == "f":
            corners = [int(value.split("/")[0]) - 1 for value in values]
            faces += [[corners[0], b, c] for b, c in pairwise(corners[1:])]
    return Mesh(torch.tensor(vertices, dtype=dtype), torch.tensor(faces))


@pytest.fixture(scope="module")
def meshes() -> list[Mesh]:
    return [fixture_mesh(name) for name in NAMES]


@pytest.fixture(scope="module")
def descriptors(meshes) -> LightFieldDescriptors:
    return light_field_descriptors(meshes)


def unpacked(bits: torch.Tensor) -> np.ndarray:
    return np.unpackbits(bits.cpu().numpy().view(np.uint8), axis=-1, bitorder="little").astype(bool)


def packed(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.packbits(images, axis=-1, bitorder="little").view(np.int32))


def on(device: torch.device, meshes: list[Mesh]) -> list[Mesh]:
    return [Mesh(mesh.vertices.to(device), mesh.faces.to(device)) for mesh in meshes]


def test_silhouettes_are_the_published_ones_to_the_pixel(device):
    expected = np.load(FOLDER / "silhouettes.npz")
    exact = [fixture_mesh(name, torch.float64) for name in NAMES]
    for name, mesh in zip(NAMES, on(device, exact), strict=True):
        images = unpacked(lightfield.silhouettes([mesh])).reshape(10, 10, 256, 256)
        assert (images != np.unpackbits(expected[name], axis=-1)).sum() == 0, name


def test_features_before_quantisation_are_the_published_ones(device):
    images, expected = np.load(FOLDER / "silhouettes.npz"), np.load(FOLDER / "floats.npz")
    for name in NAMES:
        silhouettes = np.unpackbits(images[name], axis=-1).reshape(100, 256, 256)
        found = lightfield._features(packed(silhouettes).to(device))

        def compare(value, key, name=name):
            np.testing.assert_allclose(
                value.cpu().numpy(), expected[f"{name}/{key}"].reshape(value.shape), atol=1e-12, err_msg=f"{name} {key}"
            )

        compare(found.contour, "fd")
        compare(found.circularity, "cir")
        compare(found.eccentricity, "ecc")
        compare(found.points, "contour_len")
        compare(found.bridges, "bridge_mode")
        region = expected[f"{name}/art_12x3"].reshape(100, 36)[:, 1:]
        np.testing.assert_allclose(found.region.cpu().numpy(), region, atol=1e-12)


def test_bytes_and_distances_are_the_published_ones(meshes, device):
    expected = np.load(FOLDER / "features.npz")
    found = light_field_descriptors(on(device, meshes))
    for key, name in STORED.items():
        stored = np.stack([expected[f"{mesh}/{key}_q8"] for mesh in NAMES])
        assert (getattr(found, name).cpu().numpy() != stored).sum() == 0
    distances = light_field_distance(found, found)
    assert distances.dtype == torch.int64
    assert distances.tolist() == PAIRS["distance"]


def test_what_does_not_change_a_shape_does_not_change_its_descriptor(meshes, descriptors):
    chair = meshes[NAMES.index("chair")]
    lone = torch.cat([chair.vertices, torch.tensor([[99.0, 0, 0]])])
    variants = [
        Mesh(lone, chair.faces),
        Mesh(chair.vertices, chair.faces.flip(1)),
        Mesh(chair.vertices, torch.cat([chair.faces, chair.faces[:3], chair.faces[:1, [0, 0, 1]]])),
        Mesh(4 * chair.vertices + torch.tensor([1.0, 2, 3]), chair.faces.int()),
    ]
    distances = light_field_distance(
        light_field_descriptors(variants), descriptors[torch.tensor([NAMES.index("chair")])]
    )
    assert distances.tolist() == [[0]] * 4


def test_order_and_grouping_of_meshes_do_not_matter(meshes, descriptors, monkeypatch):
    monkeypatch.setattr(lightfield, "MESHES_AT_ONCE", 3)
    monkeypatch.setattr(lightfield, "VERTICES_AT_ONCE", 1000)
    again = light_field_descriptors(meshes[::-1])
    for name, value in again.tensors().items():
        assert torch.equal(value.flip(0), getattr(descriptors, name))


def test_rotations_are_the_published_table():
    published = json.loads((FOLDER / "align10.json").read_text())["align"]
    assert sorted(lightfield._rotations()) == sorted(published)


def scattered(rng: np.random.Generator, kind: int) -> np.ndarray:
    """A silhouette of several parts: bars, blocks, slanted lines, lone pixels, rings; near or far from each other."""
    image = np.zeros((256, 256), dtype=bool)
    rows, columns = np.mgrid[:256, :256]
    spread = (8, 25, 80)[kind % 3]
    for _ in range(int(rng.integers(1, 9))):
        row, column = 128 + rng.integers(-spread, spread + 1, 2)
        height, width = rng.integers(1, 14, 2)
        shape = rng.integers(0, 5)
        if shape == 0:
            image[row : row + height, column : column + width] = True
        elif shape == 1:
            image[row, column] = True
        elif shape == 2:
            slope = rng.uniform(-2, 2)
            image |= (abs(rows - row - slope * (columns - column)) < 0.6) & (abs(columns - column) < width)
        elif shape == 3:
            distance = np.hypot(rows - row, columns - column)
            image |= (distance < height) & (distance > height - rng.integers(1, 4))
        else:
            block = rng.random((2 * height, 2 * width)) < 0.5
            image[row : row + 2 * height, column : column + 2 * width] |= block
    return image


@pytest.mark.slow
def test_scattered_parts_are_described_as_by_the_plain_reference(device):
    rng = np.random.default_rng(0)
    images = np.stack([scattered(rng, kind) for kind in range(60)])
    images[7] = False
    images[8] = False
    images[8, 100, 90] = True
    found = lightfield._features(packed(images).to(device))
    modes, failed = set(), 0
    for number, image in enumerate(images):
        points, bridge = plain.contour(image)
        modes.add(bridge)
        failed += points is None
        assert found.bridges[number] == bridge, number
        assert found.points[number] == (-1 if points is None else len(points)), number
        expected = plain.spectrum(points, plain.centre(image))
        np.testing.assert_allclose(found.contour[number].cpu(), expected, atol=1e-12)
        assert float(found.circularity[number]) == pytest.approx(plain.circularity(image), abs=1e-12)
        assert float(found.eccentricity[number]) == pytest.approx(plain.eccentricity(image), abs=1e-12)
    assert modes == {0, 1, 2, 3}
    assert failed >= 2
    for field in range(0, 6, 2):
        reach = plain.radius(images[10 * field : 10 * field + 10])
        for number in range(10 * field, 10 * field + 10):
            np.testing.assert_allclose(
                found.region[number].cpu(), plain.region(images[number], reach), atol=1e-12, err_msg=str(number)
            )


def test_drawing_sets_the_pixels_whose_centres_are_inside(device):
    """Triangles of all sizes, against the sign of three edge functions on whole numbers."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(40, 3, 3, generator=generator) - 0.5
    corners[20:] = corners[20:, :1] + 0.02 * corners[20:]
    mesh = Mesh(corners.flatten(0, 1), torch.arange(120).reshape(40, 3))
    axes = lightfield._view_axes()
    exact = Mesh(mesh.vertices.double(), mesh.faces)
    unit = in_unit_cube(MeshBatch.from_meshes([exact])).vertices.float().double()
    screen = (0.5 * 256 * 256 * (torch.einsum("kij,vj->kvi", axes, unit) + 1)).round().long()[::10]
    centre = 256 * torch.arange(256) + 128
    x, y = centre[None, :], centre[:, None]
    expected = torch.zeros(10, 256, 256, dtype=torch.bool)
    touched = torch.zeros_like(expected)
    for view, triangles in enumerate(screen.unflatten(1, (40, 3))):
        for triangle in triangles:
            sides = []
            for a, b in zip(triangle, triangle.roll(-1, 0), strict=True):
                sides.append((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]))
            sides = torch.stack(sides)
            expected[view] |= (sides > 0).all(0) | (sides < 0).all(0)
            touched[view] |= (sides >= 0).all(0) | (sides <= 0).all(0)
    found = torch.from_numpy(unpacked(lightfield.silhouettes(on(device, [mesh]))))[::10]
    assert not (expected & ~found).any()
    assert not (found & ~touched).any()


def random_descriptors(count: int, seed: int) -> LightFieldDescriptors:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((10, 10, 35), (10, 10, 10), (10, 10), (10, 10))
    return LightFieldDescriptors(
        *(torch.randint(0, 256, (count, *shape), generator=generator).to(torch.uint8) for shape in shapes)
    )


def test_distances_are_the_plain_minimum_over_fields_and_rotations(device):
    a, b = random_descriptors(3, 1), random_descriptors(4, 2)
    rotations = json.loads((FOLDER / "align10.json").read_text())["align"]

    def one(descriptors, number):
        return {name: value[number].numpy() for name, value in descriptors.tensors().items()}

    expected = [[plain.distance(one(a, i), one(b, j), rotations) for j in range(4)] for i in range(3)]
    assert light_field_distance(a.to(device), b.to(device)).tolist() == expected


def test_extreme_bytes_give_the_greatest_distance(device):
    blank, full = (
        LightFieldDescriptors(*(torch.full_like(v, fill) for v in random_descriptors(1, 0).tensors().values()))
        for fill in (0, 255)
    )
    assert light_field_distance(blank.to(device), full.to(device)).tolist() == [[147_900]]


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.integers(0, 4), st.integers(1, 5))
def test_distances_are_symmetric_and_independent_of_blocks(seed, rows, columns):
    a, b = random_descriptors(rows, seed), random_descriptors(columns, seed + 1)
    whole = light_field_distance(a, b)
    assert torch.equal(whole, light_field_distance(b, a).T)
    assert (light_field_distance(b, b).diagonal() == 0).all()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lightfield, "DISTANCES_AT_ONCE", 1)
        assert torch.equal(light_field_distance(a, b), whole)


TRIANGLE = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize(
    "mesh",
    [
        Mesh(TRIANGLE, torch.zeros(0, 3, dtype=torch.int64)),
        Mesh(torch.ones(3, 3), torch.tensor([[0, 1, 2]])),
        Mesh(TRIANGLE * torch.nan, torch.tensor([[0, 1, 2]])),
        Mesh(TRIANGLE * torch.inf, torch.tensor([[0, 1, 2]])),
    ],
)
def test_shapes_without_a_silhouette_are_refused(mesh, monkeypatch):
    good = Mesh(TRIANGLE, torch.tensor([[0, 1, 2]]))
    with pytest.raises(ValueError, match="mesh 1 has no face or an extent"):
        light_field_descriptors([good, mesh])
    monkeypatch.setattr(lightfield, "MESHES_AT_ONCE", 2)
    with pytest.raises(ValueError, match="mesh 3 has no face or an extent"):
        light_field_descriptors([good, good, good, mesh])


def test_no_shapes_are_refused():
    with pytest.raises(ValueError, match="no mesh"):
        light_field_descriptors([])


def test_a_plate_seen_from_its_edge_is_described(device):
    plate = Mesh(TRIANGLE.to(device), torch.tensor([[0, 1, 2]], device=device))
    found = light_field_descriptors([plate])
    assert light_field_distance(found, found).tolist() == [[0]]
