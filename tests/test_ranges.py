import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from get3d.authoring.from_images import ImportConfig
from get3d.authoring.from_meshes.config import RenderConfig
from get3d.authoring.procedural import SynthConfig
from get3d.benchmarks import BenchConfig
from get3d.checkpoints.published import ConvertConfig
from get3d.datasets.pack import PackConfig
from get3d.evaluation.evaluator import EvaluateConfig
from get3d.files import InputError
from get3d.generation.config import GenerateConfig, InterpolateConfig, VaryConfig
from get3d.options import Option
from get3d.ranges import Range, _fields, require_ranges, whole
from get3d.training.config import TrainConfig, prepare_run


@dataclass(frozen=True)
class Inner:
    """Numbers with ranges.

    Attributes:
        rate: positive.
        pair: each below 1.
    """

    rate: Annotated[float, Range(0, above=True)] = 1.0
    pair: Annotated[tuple[float, float], Range(0, 1, below=True)] = (0.0, 0.5)


@dataclass(frozen=True)
class Outer:
    """Numbers, and numbers in them.

    Attributes:
        side: a power of two.
        maybe: may be left out.
        renamed: has another name as an option.
        free: any finite number.
        inner: by its name.
        flat: without one.
    """

    side: Annotated[int, Range(4, 64, power_of_two=True)] = 8
    maybe: Annotated[int | None, Range(1)] = None
    renamed: Annotated[Annotated[int, Range(0)], Option(flag="from")] = 0
    free: float = 0.0
    inner: Inner = field(default_factory=Inner)
    flat: Annotated[Inner, Option(flat=True)] = field(default_factory=Inner)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"side": 33}, "--side is 33; it must be a power of two from 4 to 64"),
        ({"side": 128}, "--side is 128; it must be a power of two from 4 to 64"),
        ({"side": -8}, "--side is -8; it must be a power of two from 4 to 64"),
        ({"maybe": 0}, "--maybe is 0; it must be at least 1"),
        ({"renamed": -1}, "--from is -1; it must be at least 0"),
        ({"free": math.nan}, "--free is nan; it must be finite"),
        ({"free": -math.inf}, "--free is -inf; it must be finite"),
        ({"inner": Inner(rate=0.0)}, "--inner.rate is 0.0; it must be positive"),
        ({"inner": Inner(pair=(0.5, 1.0))}, "--inner.pair is 0.5 1.0; it must be at least 0 and below 1"),
        ({"flat": Inner(rate=math.inf)}, "--rate is inf; it must be positive"),
    ],
)
def test_what_is_out_of_range_is_named_with_its_option_and_range(changes, message):
    with pytest.raises(InputError) as told:
        require_ranges(Outer(**changes))
    assert str(told.value) == message


def test_values_in_range_pass_and_a_file_is_named_by_its_fields():
    require_ranges(Outer(side=64, maybe=10**30, free=-1e300, inner=Inner(rate=1e-300)))
    with pytest.raises(InputError, match=r"^model\.json: inner\.rate is -1\.0; it must be positive$"):
        require_ranges(Outer(inner=Inner(rate=-1.0)), where="model.json")


@given(st.integers() | st.floats(), st.integers(-5, 5), st.integers(-5, 5), st.booleans(), st.booleans())
def test_a_range_holds_what_lies_between_its_bounds(value, low, high, above, below):
    found = Range(low, high, above=above, below=below).holds(value)
    wanted = low <= value <= high and not (above and value == low) and not (below and value == high)
    assert found == wanted


CONFIGS = [
    TrainConfig(),
    GenerateConfig("chair"),
    InterpolateConfig("chair"),
    VaryConfig("chair"),
    EvaluateConfig((), Path("data")),
    SynthConfig("chair", Path("out")),
    RenderConfig(Path("assets"), Path("out")),
    ImportConfig(Path("images"), Path("cameras"), Path("out")),
    PackConfig(Path("data"), Path("out")),
    BenchConfig(),
    ConvertConfig(Path("file"), Path("out")),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_every_number_of_every_command_is_bounded_on_one_side_at_least(config):
    """But angles of cameras and points of a world, which have checks of their own."""
    require_ranges(config)
    own_checks = ("azimuth", "polar", "centre")
    for option in _fields(config, ""):
        numbers = option.value if isinstance(option.value, tuple) else (option.value,)
        if (
            not numbers
            or option.path.split(".")[-1] in own_checks
            or not all(type(number) in (int, float) for number in numbers)
        ):
            continue
        assert not option.range.holds(-1e7), option.path


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("objective.r1_interval", 0, "--objective.r1-interval is 0; it must be at least 1"),
        ("discriminator.group", 0, "--discriminator.group is 0; it must be from 1 to 65536"),
        ("seed", -1, r"--seed is -1; it must be from 0 to 4611686018427387904"),
        (
            "generator.synthesis.planes.resolution",
            33,
            "--generator.synthesis.planes.resolution is 33; it must be a pow",
        ),
        ("optimizer.betas", (0.0, 1.0), "--optimizer.betas is 0.0 1.0; it must be at least 0 and below 1"),
        ("ranks.timeout", math.inf, "--timeout is inf; it must be above 0 and at most 1e\\+06"),
        ("snapshot_kimg", math.nan, "--snapshot-kimg is nan; it must be positive"),
    ],
)
def test_training_out_of_range_is_refused(path, value, message):

    def changed(config, names):
        inner = changed(getattr(config, names[0]), names[1:]) if len(names) > 1 else value
        return replace(config, **{names[0]: inner})

    with pytest.raises(InputError, match=message):
        prepare_run(changed(TrainConfig(), path.split(".")))


def test_an_integer_of_a_file_is_one_and_in_its_range():
    assert whole(7, "seed", Range(0, 7)) == 7
    for odd in (7.0, 1e300, "7", True, None, [7], math.nan):
        with pytest.raises(ValueError, match=r"^seed is .*, not an integer from 0 to 7$"):
            whole(odd, "seed", Range(0, 7))
    with pytest.raises(ValueError, match="seed is 8, not an integer from 0 to 7"):
        whole(8, "seed", Range(0, 7))
