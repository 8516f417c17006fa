"""Commands that split their work over processes leave the files that one leaves, and say what is wrong once."""

import os
import time
from dataclasses import dataclass, field

from get3d.files import InputError
from get3d.ranks import RanksConfig, joined
from ranks import Ranks


@dataclass(frozen=True)
class _Sum:
    """Numbers to square; each is made by whoever is free."""

    ranks: RanksConfig = field(default_factory=RanksConfig)
    bad: int | None = None


def _squares(config, console):
    with joined(config.ranks, "cpu") as ranks:

        def square(number):
            # The second process is far slower than the first.
            time.sleep(0.3 * ranks.rank)
            if number == config.bad:
                raise InputError(f"--bad is {number}")
            return number**2, ranks.rank

        for _ in range(2):
            console.print(ranks.each(range(3, 10), square))
        console.print(sorted(ranks.turns("abc")) and "taken")


def test_whoever_is_free_takes_the_next_and_the_first_has_all_in_order():
    first, second = Ranks([_Sum()] * 2, work=_squares).end()
    made = eval(first.splitlines()[1])
    assert [square for square, _ in made] == [9, 16, 25, 36, 49, 64, 81]
    assert 1 <= sum(rank for _, rank in made) <= 2
    assert second.splitlines()[:2] == ["[]", "[]"]
    alone = Ranks([_Sum()], work=_squares).end()[0]
    assert alone.splitlines() == [str([(n**2, 0) for n in range(3, 10)])] * 2 + ["taken"]


def test_what_cannot_be_done_is_said_by_the_first_alone_whoever_finds_it():
    for bad in (3, 4):
        ranks = Ranks([_Sum(bad=bad)] * 2, work=_squares)
        assert ranks.end() == [f"InputError: --bad is {bad}", ""]
        assert [process.exitcode for process in ranks.processes] == [1, 2]


def _same_folder(config, console):
    with joined(config.ranks, "cpu") as ranks:
        ranks.require_same(config.out)
    console.print("the same")


@dataclass(frozen=True)
class _Out:
    out: os.PathLike
    ranks: RanksConfig = field(default_factory=RanksConfig)


def test_a_folder_that_is_another_on_another_machine_is_named(tmp_path):
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    mine.mkdir(), theirs.mkdir()
    assert Ranks([_Out(mine)] * 2, work=_same_folder).end() == ["the same\n"] * 2
    first, second = Ranks([_Out(mine), _Out(theirs)], work=_same_folder).end()
    assert first.startswith("InputError: rank 1 (")
    assert "theirs: is not the folder that rank 0 has" in first
    assert not second
    assert not list(mine.iterdir())
