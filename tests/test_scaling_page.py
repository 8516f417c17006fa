"""The predictions in docs/scaling.md are what the formula gives for the numbers that stand there."""

import re
from pathlib import Path

import pytest
from scaling import Fabric, Link, Pass, Step, all_reduce, barrier, exposed, predicted

from get3d import presets
from get3d.generator import Generator
from get3d.networks import Discriminator
from get3d.training.gradients import buckets

PAGE = (Path(__file__).parent.parent / "docs" / "scaling.md").read_text(encoding="utf-8")
SHARE = 4


def _rows(first):
    """The cells of the table whose first column is called so."""
    lines = PAGE[PAGE.index(f"| {first} |") :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def _number(text):
    return float(re.match(r"[\d,.]+", text)[0].replace(",", ""))


@pytest.fixture(scope="module")
def networks():
    """Discriminator and generator of the presets."""
    made = {}
    for name in ("demo", "small", "paper"):
        config = presets.PRESETS[name].config
        discriminator = Discriminator(config.discriminator, resolution=config.resolution, label_dim=0)
        made[name] = [list(network.parameters()) for network in (discriminator, Generator(config.generator))]
    return made


@pytest.mark.slow
def test_what_travels(networks):
    for name, generator, discriminator, both, each in _rows("preset"):
        d, g = networks[name.strip("`")]
        counts = [sum(parameter.numel() for parameter in parameters) for parameters in (d, g)]
        assert [_number(discriminator), _number(generator)] == counts
        assert _number(both) == pytest.approx(4 * sum(counts) / 1e6, abs=0.06)
        assert [float(part) for part in re.findall(r"[\d.]+", each)] == pytest.approx(
            [4 * count / 1e6 for count in counts], abs=0.06
        )


def test_what_is_predicted(networks):
    (milliseconds,) = re.findall(r"the smallest share,\s+take (\d+) ms", PAGE)
    ((count, window), (other_count, other_window)) = re.findall(r"in (\d+)(?: buckets)? over (\d+) %", PAGE)
    (each,) = re.findall(r"A barrier is assumed to cost (\d+) µs for each process", PAGE)
    sizes = [[sum(value.nbytes for value in bucket) for bucket in buckets(part)] for part in networks["paper"]]
    assert [len(part) for part in sizes] == [int(count), int(other_count)]
    passes = tuple(
        Pass(tuple(part), int(share) / 100) for part, share in zip(sizes, (window, other_window), strict=True)
    )
    step = Step(0.0, int(milliseconds) / 1000 / SHARE, passes, 3)
    links = {
        name: Link(_number(bandwidth) * 1e9, _number(latency) / 1e6) for name, bandwidth, latency, _ in _rows("network")
    }
    rows = _rows("GPUs")
    assert {row[0] for row in rows} == {"8", "64", "512"}
    for gpus, machines, name, *told in rows:
        number = int(gpus)
        fabric = Fabric(links["NVLink"], links[name], number // int(machines), int(each) * 1e-6)
        computing = step.computing(float(SHARE))
        whole = predicted(step, SHARE * number, number, fabric, number)
        want = [
            1000 * all_reduce(sum(map(sum, sizes)), number, fabric),
            1000 * exposed(step, computing, number, fabric),
            1000 * step.barriers * barrier(number, fabric),
            100 * computing / whole,
        ]
        print([gpus, machines, name], want)
        assert [_number(cell) for cell in told] == pytest.approx(want, abs=0.55, rel=0.01), (gpus, machines, name)
