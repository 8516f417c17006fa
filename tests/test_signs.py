import pytest
import torch

from get3d.isosurface.signs import find, look_up, offsets, pack


@pytest.mark.parametrize("shapes", [1, 7, 8, 9, 40])
def test_finds_what_was_packed_in_order_of_shapes(shapes, device):
    masks = (torch.rand(shapes, 50, generator=torch.Generator().manual_seed(shapes)) < 0.3).to(device)
    packed = pack(masks)
    assert packed.shape == (-(-shapes // 8), 50)
    found = find(packed)
    assert torch.equal(torch.stack([found.shape, found.element], dim=1), masks.nonzero())
    assert offsets(found.shape, shapes).diff().tolist() == masks.sum(1).tolist()


def test_packed_masks_can_be_looked_up_and_combined(device):
    generator = torch.Generator().manual_seed(0)
    masks = (torch.rand(11, 20, generator=generator) < 0.5).to(device)
    first, second = torch.randint(20, (2, 30), generator=generator).to(device)
    differs = find(look_up(pack(masks), first) ^ look_up(pack(masks), second))
    wanted = (masks[:, first] != masks[:, second]).nonzero()
    assert torch.equal(torch.stack([differs.shape, differs.element], dim=1), wanted)


def test_finds_nothing_in_empty_masks():
    found = find(pack(torch.zeros(3, 5, dtype=torch.bool)))
    assert found.shape.shape == (0,)
    assert offsets(found.shape, 3).tolist() == [0, 0, 0, 0]
