import copy

import torch
from torch import nn

from get3d.training.ema import update_ema


def _network(value):
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    for parameter in network.parameters():
        nn.init.constant_(parameter, value)
    return network


def test_a_past_state_counts_half_after_the_half_life():
    ema, network = _network(0.0), _network(1.0)
    for step in range(10):
        update_ema(ema, network, cur_nimg=10**9 + 10 * step, batch=10, half_life=100.0, ramp_up=0.05)
    for parameter in ema.parameters():
        torch.testing.assert_close(parameter, torch.full_like(parameter, 0.5))


def test_early_on_the_half_life_is_a_share_of_what_was_shown():
    ema, network = _network(0.0), _network(1.0)
    update_ema(ema, network, cur_nimg=100, batch=5, half_life=1e9, ramp_up=0.05)
    torch.testing.assert_close(ema[0].weight, torch.full((2, 2), 0.5))


def test_without_ramp_up_the_half_life_holds_from_the_start():
    ema, network = _network(0.0), _network(1.0)
    update_ema(ema, network, cur_nimg=1, batch=50, half_life=100.0, ramp_up=0.0)
    torch.testing.assert_close(ema[0].weight, torch.full((2, 2), 1 - 2**-0.5))


def test_buffers_are_taken_over_and_the_network_is_left_alone():
    ema, network = _network(0.0), _network(1.0)
    network[1].running_mean.fill_(3.0)
    before = copy.deepcopy(network.state_dict())
    update_ema(ema, network, cur_nimg=100, batch=5, half_life=100.0, ramp_up=0.05)
    assert ema[1].running_mean.tolist() == [3.0, 3.0]
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])
