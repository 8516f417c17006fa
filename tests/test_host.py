import torch

from get3d.benchmarks.host import HostWork, host_work


def test_operations_are_counted_those_of_backward_passes_too():
    x = torch.ones(3, requires_grad=True)
    assert host_work(lambda: x.detach() * 2, torch.device("cpu")) == HostWork(operations=2, waits=None)
    forward = host_work(lambda: (x * 2).sum(), torch.device("cpu")).operations
    assert host_work(lambda: (x * 2).sum().backward(), torch.device("cpu")).operations > forward == 2
