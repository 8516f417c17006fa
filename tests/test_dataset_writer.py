"""Worker processes of the commands that make datasets."""

import time
from pathlib import Path

import pytest

from get3d.authoring.dataset_writer import in_processes
from get3d.files import writing


def hold(item: tuple[Path, int]) -> int:
    """The second item is written for a minute, if nobody stops it; the first is done once that has begun."""
    folder, number = item
    if number == 0:
        while not (folder / "begun").exists():
            time.sleep(0.01)
    else:
        with writing(folder / "image.png") as path:
            path.write_text("half")
            (folder / "begun").touch()
            time.sleep(60)
    return number


def fail(item: tuple[Path, int]) -> int:
    if hold(item) == 0:
        raise ValueError("the first one")
    return 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, pytest.param(GeneratorExit, marks=pytest.mark.slow)])
def test_whoever_stops_waits_for_no_object_and_leaves_nothing_half_written(tmp_path, error):
    results = in_processes(hold, [(tmp_path, 0), (tmp_path, 1)], 2)
    assert next(results) == 0
    with pytest.raises(error):
        results.throw(error())
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]


@pytest.mark.slow
def test_an_error_of_one_object_stops_the_others(tmp_path):
    with pytest.raises(ValueError, match="the first one"):
        list(in_processes(fail, [(tmp_path, 0), (tmp_path, 1)], 2))
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]
