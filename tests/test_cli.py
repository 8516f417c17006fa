import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tiny
from get3d import cli


def _run(monkeypatch, *arguments):
    """The exit status of a command typed."""
    monkeypatch.setattr(sys, "argv", ["get3d", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as end:
        return end.code or 0
    return 0


SMALL = (
    *("--resolution=16", "--batch=4", "--kimg=0.008", "--log-kimg=0.004", "--snapshot-kimg=0.008"),
    *("--metric-images=4", "--device=cpu", "--generator.z-dim=8", "--generator.w-dim=16"),
    *("--generator.mapping-layers=1", "--generator.grid-resolution=8", "--discriminator.channel-base=128"),
    *("--discriminator.channel-max=8", "--discriminator.condition=8"),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_dataset(tmp_path_factory.mktemp("data") / "discs")


@pytest.mark.slow
def test_the_way_of_the_readme(monkeypatch, tmp_path, capsys):
    data, run, out = tmp_path / "data", tmp_path / "run", tmp_path / "out"
    options = ["--shapes=10", "--views=2", "--resolution=64", "--texture=256", "--workers=1"]
    assert _run(monkeypatch, "synth", "chair", "--out", data, *options) == 0
    assert _run(monkeypatch, "check", data) == 0
    short = [*SMALL, "--resolution=64", "--warmup-kimg=0"]
    assert _run(monkeypatch, "train", "demo", "--data", data, "--out", run, *short) == 0
    options = ["--num=2", "--faces=200", "--texture=64", "--resolution=32", "--psi=1", "--device=cpu"]
    assert _run(monkeypatch, "generate", run, "--out", out, *options) == 0
    assert {"000000.glb", "000001.glb", "contact-sheet.png", "turntable.gif", "shapes.json"} <= {
        path.name for path in out.iterdir()
    }
    shapes = json.loads((out / "shapes.json").read_text())["shapes"]
    assert [shape["seed"] for shape in shapes] == [0, 1]
    resolved = json.loads((run / "config.json").read_text())
    assert resolved["generator"]["grid_resolution"] == 8
    assert resolved["generator"]["synthesis"]["planes"]["resolution"] == 32
    capsys.readouterr()


def test_every_command_explains_itself(monkeypatch, capsys):
    assert _run(monkeypatch, "--help") == 0
    listed = capsys.readouterr().out
    for command in cli.COMMANDS:
        assert command in listed
        assert _run(monkeypatch, command, "--help") == 0
        assert len(capsys.readouterr().out) > 200
    assert _run(monkeypatch, "train", "demo", "--help") == 0
    described = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--generator.grid-resolution" in described
    assert "the same folder again resumes" in described


def test_an_option_that_is_not_known_is_answered_with_those_like_it(monkeypatch, capsys):
    assert _run(monkeypatch, "train", "demo", "--batsch", "4") == 2
    said = capsys.readouterr()
    assert "--batch" in said.out + said.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "demo", "--data", "nowhere"], "nowhere"),
        (["generate", "nowhere"], "nowhere: no such model"),
        (["generate", "nowhere", "--psi", "3"], "--psi is 3"),
        (["generate", "nowhere", "--faces", "2"], "--faces is 2"),
        (["generate", "nowhere", "--texture", "9000"], "--texture is 9000"),
        (["render"], "ASSETS and --out are missing; for example: get3d render models/ --out data/mine"),
        (["generate"], "MODEL is missing; for example: get3d generate chair"),
        (["evaluate", "chair"], "--data is missing; for example: get3d evaluate"),
        (["train"], "give one of demo, small, paper"),
        ([], "give one of synth, render, import"),
        (["fly"], "fly: no such command; give one of synth, render, import"),
        (["train", "huge"], "huge: no such preset; give one of demo, small"),
        (["synth", "spoon", "--out", "x"], "KIND is 'spoon'; choose from chair"),
        (["generate", "chair", "--format", "xyz"], "--format is 'xyz'; choose from glb, obj, ply"),
        (["train", "demo", "--batch", "many"], "--batch is 'many'; give an integer"),
        (["generate", "chair", "--psi", "half"], "--psi is 'half'; give a number"),
        (
            ["import", "a", "--cameras", "b", "--out", "c", "--up", "u"],
            "--up is 'u'; choose from x, y, z, -x, -y, -z, cam",
        ),
        (
            ["import", "a", "--cameras", "b", "--out", "c", "--centre", "1", "2", "x"],
            "not understood; give FLOAT FLOAT FLO",
        ),
        (["render", "a", "--out", "b", "--limit", "x"], "--limit is 'x'; give an integer"),
        (["render", "a", "--out", "b", "--ratio", "1"], "--ratio has too few values; give FLOAT FLOAT FLOAT"),
    ],
)
def test_bad_input_is_one_line_and_status_2(monkeypatch, capsys, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert _run(monkeypatch, *arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_that_cannot_be_used_is_status_1(monkeypatch, capsys, tmp_path):
    assert _run(monkeypatch, "check", tmp_path / "nowhere") == 1
    assert "no such folder" in capsys.readouterr().out.replace("\n", " ")


def test_images_with_a_table_become_a_dataset_again(monkeypatch, capsys, data, tmp_path):
    out, page = tmp_path / "out", tmp_path / "check.html"
    assert _run(monkeypatch, "import", data / "images", "--cameras", data / "cameras.csv", "--out", out) == 0
    assert "20 images of 10 objects (20 copied)" in capsys.readouterr().out
    assert _run(monkeypatch, "check", out, "--report", page) == 0
    assert "usable" in page.read_text(encoding="utf-8")
    assert (tmp_path / "check.png").is_file()
    assert capsys.readouterr().out.lstrip().startswith("usable\n")
    assert _run(monkeypatch, "check", out, "--json") == 0
    assert json.loads(capsys.readouterr().out)["images"] == 20
    assert _run(monkeypatch, "import", data / "images", "--cameras", tmp_path / "none", "--out", tmp_path / "new") == 2
    assert "no such file or folder; cameras are read from" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_to_is_named(monkeypatch, capsys, data, tmp_path):
    (tmp_path / "file").write_text("")
    assert _run(monkeypatch, "train", "demo", "--data", data, "--out", tmp_path / "file" / "run", *SMALL) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "get3d", "--help"], capture_output=True, text=True, check=True)
    assert "usage: get3d" in done.stdout


def test_the_version_is_that_of_the_package():
    import get3d

    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert get3d.__version__ == project["version"]
