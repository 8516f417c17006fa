"""Steps that processes share: the measurement with real processes, what it makes of times, and the formula."""

import math
from pathlib import Path

import pytest
from rich.console import Console
from scaling import Fabric, Link, Pass, Step, all_reduce, barrier, compared, exposed, fitted, predicted

from get3d import benchmarks as bench
from get3d import presets
from get3d.benchmarks import step
from get3d.benchmarks.profiles import ASKING, Profiled, Span, given, windows
from get3d.benchmarks.ranks import SIZES, Measured, Team
from get3d.files import InputError
from get3d.training.gradients import BARRIER, RECEIVING, SENDING
from tiny import run_config, write_dataset

pytestmark = pytest.mark.slow

LINK = Link(bandwidth=100.0, latency=0.5)
FABRIC = Fabric(near=LINK, far=Link(bandwidth=10.0, latency=2.0), node=4, barrier=0.25)


def test_shares_a_step_among_processes_and_prints_it_beside_the_formula(monkeypatch, tmp_path: Path):
    config = run_config(tmp_path / "data", tmp_path / "out")
    monkeypatch.setitem(presets.PRESETS, "demo", presets.Preset("tiny", config))
    monkeypatch.setattr(step, "make_dataset", lambda folder, config: write_dataset(folder))
    console = Console(width=160, record=True)
    rows = bench.run(bench.BenchConfig(ranks=2, repeats=2, warm=1, device="cpu"), console)
    found = {row.name: row for row in rows}
    assert len(found) == len(rows)
    sizes = ["0.00391 MiB", "0.0625 MiB", "1 MiB", "4 MiB", "16 MiB"]
    shared = "2 processes: communication with nothing computed at the same time"
    assert list(found) == [
        *("gradients of a step", "1 process", "2 processes", shared),
        *(f"{size} over 2 processes" for size in sizes),
        "a barrier of 2 processes",
    ]
    for row in rows:
        for seconds in (row.seconds, *row.other_seconds.values()):
            assert seconds is None or 0 <= seconds < math.inf
    state = step.start(config)
    parameters = [*state.generator.parameters(), *state.discriminator.parameters()]
    assert found["gradients of a step"].result == sum(4 * value.numel() for value in parameters) / 1e6
    assert 0 < found[shared].result < 1
    assert found[shared].goal.bound == 0.1
    text = console.export_text()
    assert all(name in text for name in ("waiting for slower processes", "gloo"))


def test_refuses_a_batch_that_cannot_be_shared():
    with pytest.raises(InputError, match=r"--batch is 16; it must be a multiple of .* for each of 3 processes: 12"):
        bench.run(bench.BenchConfig(ranks=3, device="cpu"), Console(quiet=True))


def _span(name, start, end):
    return Span(name, float(start), float(end))


def test_waiting_for_a_slower_process_is_no_communication():
    """The second process is 3 s late for the first network, the first one 1 s for the other."""

    def process(late, early):
        first = [_span(SENDING, 10 + late, 11 + late), _span(BARRIER, 11 + late, 14.5), _span(RECEIVING, 14.5, 16)]
        second = [_span(SENDING, 20 + early, 20.5 + early), _span(SENDING, 21 + early, 21.5 + early)]
        rest = [_span(BARRIER, 21.5 + early, 23), _span(RECEIVING, 23, 24), _span(ASKING, 30, 30.25)]
        return Profiled(40.0, (*first, *second, *rest))

    both = [process(0.0, 1.0), process(3.0, 0.0)]
    found = given(both)
    # 1 s to send, 0.5 s to meet, 1.5 s to receive; two times 0.5 s, 0.5 s and 1 s; asking.
    assert found.communication == pytest.approx(3 + 2.5 + 0.25)
    assert found.waiting == pytest.approx((3 + 1) / 2)
    assert windows(both[0]) == pytest.approx([0, 1 / 40])


def test_communication_that_a_gpu_computes_beside_costs_nothing():
    spans = (_span(SENDING, 1, 1.5), _span(BARRIER, 2, 3), _span(RECEIVING, 3, 3.5))
    carrying = (_span("ncclDevKernel", 1.5, 6),)
    computing = (_span("convolution", 0, 2.5), _span("convolution", 2.25, 4), _span("adam", 7, 8))
    step = Profiled(10.0, spans, carrying, computing)
    assert given([step]).communication == pytest.approx(2.0)


def test_the_formula_is_what_a_ring_does():
    """Every process sends a part to the next, in turns, until all have been everywhere twice."""
    count, size = 5, 40.0
    clocks = [0.0] * count
    for _ in range(2 * (count - 1)):
        sent = [clock + size / count / LINK.bandwidth + LINK.latency for clock in clocks]
        clocks = [max(sent[process], sent[process - 1]) for process in range(count)]
    assert all_reduce(size, count, Fabric(LINK, LINK, 8, 0.0)) == pytest.approx(max(clocks))


def test_nodes_add_up_first_and_share_at_last():
    near = 2 * 3 * (48 / 4 / 100 + 0.5)
    far = 2 * 2 * (12 / 3 / 10 + 2.0)
    assert all_reduce(48, 12, FABRIC) == pytest.approx(near + far)
    assert all_reduce(48, 4, FABRIC) == pytest.approx(near)
    assert barrier(12, FABRIC) == 11 * 0.25


@pytest.mark.parametrize(
    ("window", "left"),
    [
        (0.0, 3 * 5.0),  # Nothing overlaps.
        (0.2, 3 * 5.0 - 2.0),  # The first bucket travels all the time.
        (0.8, 3 * 5.0 - 8.0),
        (1.5, 5.0),  # Each is there before the next leaves; the last cannot be hidden.
    ],
)
def test_gradients_travel_while_others_are_made(window, left):
    fabric = Fabric(Link(10.0, 0.0), Link(10.0, 0.0), 2, 0.0)
    step = Step(0.0, 1.0, (Pass((50, 50, 50), window),), 1)
    assert exposed(step, 10.0, 2, fabric) == pytest.approx(left)
    one = Step(0.0, 1.0, (Pass((150,), window),), 1)
    assert exposed(one, 10.0, 2, fabric) == pytest.approx(15.0)


def test_a_step_that_processes_share():
    step = Step(fixed=1.0, each=0.5, passes=(Pass((50,), 0.0), Pass((100,), 0.0)), barriers=3)
    assert predicted(step, 8, 1, FABRIC, 1) == 5.0
    travel = 2 * (50 / 2 / 100 + 0.5) + 2 * (100 / 2 / 100 + 0.5)
    assert predicted(step, 8, 2, FABRIC, 2) == pytest.approx(3.0 + travel + 3 * 0.25)
    # Two processes take turns on a core, which also carries what they send.
    assert predicted(step, 8, 2, FABRIC, 1) == pytest.approx(6.0 + 2 * travel + 3 * 0.25)


def test_a_link_is_found_again_in_its_times():
    sizes = (10, 1000, 100_000)
    found = fitted(sizes, [all_reduce(size, 3, FABRIC) for size in sizes], 3)
    assert found.bandwidth == pytest.approx(100.0)
    assert found.latency == pytest.approx(0.5)


def test_predictions_stand_beside_what_was_measured():
    """Times that follow the formula are predicted from those of two processes."""
    link = Link(1e6, 1e-3)
    fabric = Fabric(link, link, node=4, barrier=0.01)
    step = Step(fixed=0.5, each=0.25, passes=(Pass((4000,), 0.0), Pass((8000,), 0.0)), barriers=3)
    teams = tuple(
        Team(
            count,
            predicted(step, 8, count, fabric, 4),
            tuple(all_reduce(size, count, fabric) for size in SIZES),
            barrier(count, fabric),
            communication=0.1,
            waiting=0.0,
            windows=(0.0, 0.0),
        )
        for count in (2, 4)
    )
    found = Measured(((4000,), (8000,)), step.computing(8), step.computing(2), teams)
    table = compared(found, batch=8, there=4)
    names, seconds, guesses = (list(column.cells) for column in table.columns)
    assert seconds == guesses
    assert names[0] == "a step of 2 processes"
    assert names[-1] == "a barrier of 4 processes"
    assert seconds[0] == f"{1000 * teams[0].step:,.1f}"
