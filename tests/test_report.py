"""The whole evaluation, of the smallest models against the smallest dataset that has meshes."""

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

import datasets
from get3d.checkpoints.model import WEIGHTS, load
from get3d.console import terminal
from get3d.evaluation import evaluator as comparison
from get3d.evaluation import shape_sets
from get3d.evaluation.metric_table import METRICS
from get3d.evaluation.report import EvaluateConfig, evaluate
from get3d.files import InputError
from get3d.generator import Generator
from get3d.metrics.feature_networks import NETWORKS, EfficientNetLite
from get3d.storage import describe, save_tensors, with_prefix
from tiny import GENERATOR

OBJECTS = 40
CONSOLE = Console(width=200, quiet=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return datasets.make_boxes(tmp_path_factory.mktemp("data"), OBJECTS)


@pytest.fixture(scope="module", autouse=True)
def without_efficientnet():
    """Its features of every image take most of the time, so one test alone has them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "efficientnet", replace(NETWORKS["efficientnet"], there=lambda: False))
        yield


def save_model(path: Path, seed: int, sdf_bias: float = 0.0, **changes: object) -> str:
    torch.manual_seed(seed)
    config = replace(GENERATOR, **changes)
    generator = Generator(config)
    with torch.no_grad():
        generator.synthesis.sdf_head.layers[-1].bias += sdf_bias
    save_tensors(path, with_prefix(WEIGHTS, generator.state_dict()), {"generator": describe(config)})
    return str(path)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("models")
    return [save_model(folder / f"{name}.safetensors", seed) for seed, name in enumerate(("early", "late"))]


def small(models: list[str], data: Path, out: Path, **changes: object) -> EvaluateConfig:
    config = EvaluateConfig(
        models=tuple(models),
        data=data,
        out=out,
        references=3,
        ratio=4,
        points=64,
        train_objects=5,
        images=8,
        textures=1,
        device="cpu",
    )
    return replace(config, **changes)


@pytest.fixture(scope="module")
def evaluated(models, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluation")
    return out, evaluate(small(models, data, out), CONSOLE)


@pytest.fixture
def numbers_only(monkeypatch):
    """Leaves the images and objects of the page out, which take most of the time."""
    monkeypatch.setattr("get3d.evaluation.report.sample_images", lambda *_: {})
    monkeypatch.setattr("get3d.evaluation.report.objects_to_turn", lambda *_: [])


def test_the_report_holds_every_number_of_every_model(evaluated, models):
    out, report = evaluated
    assert json.loads((out / "report.json").read_text()) == report
    wanted = set(METRICS) - {"fid", "kid", "fed", "ked", "precision", "recall", "genus"}
    for model in report["models"]:
        assert wanted <= set(model["metrics"]), wanted - set(model["metrics"])
        assert model["shapes"] + len(model["empty"]) == 12
        assert len(model["neighbours"]) == model["shapes"]
        assert all(name.startswith("0") for name in model["neighbours"][0]["nearest"])
    assert [model["model"] for model in report["models"]] == models
    assert [model["name"] for model in report["models"]] == ["early", "late"]
    real = report["real"]
    assert real["watertight"]["value"] == real["self_intersection_free"]["value"] == 100
    assert real["genus"]["value"] == 0
    assert real["components"]["value"] == 1
    assert real["watertight_single_body"]["value"] == 100
    assert set(report["settings"]["versions"]) >= {"get3d", "torch", "python", "warp-lang"}
    assert report["settings"]["options"]["seed"] == 0


def _copied(evaluated, folder: Path):
    """The evaluation in a folder of its own, where another one of the same options may write its page."""
    out, report = evaluated
    return Path(shutil.copytree(out, folder / "evaluation")), report


@pytest.mark.usefixtures("numbers_only")
def test_json_is_only_the_report(evaluated, models, data, tmp_path, capsys):
    out, report = _copied(evaluated, tmp_path)
    said = evaluate(small(models, data, out, json=True), terminal())
    assert json.loads(capsys.readouterr().out) == said
    assert [model["metrics"] for model in said["models"]] == [model["metrics"] for model in report["models"]]


def test_the_verdict_tells_of_every_number_that_has_a_direction(evaluated):
    _, report = evaluated
    text = "\n".join(report["verdict"])
    for name, metric in METRICS.items():
        if metric.better and name in report["models"][0]["metrics"] and name in report["real"]:
            assert metric.title in text


def test_the_page_needs_no_other_file(evaluated, models):
    out, _ = evaluated
    page = (out / "report.html").read_text(encoding="utf-8")
    own = re.sub("<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""(src|href)=["'](?!data:)""", own)
    assert not re.search(r"<script[^>]*src", page)
    assert "default-src 'none'" in page
    assert own.count("data:image/png;base64,") == 4
    assert own.count("<svg") == 4
    for model in models:
        assert model in page
    # Results come first; how they were made is folded, at the end.
    assert re.search("<h2>(.*?)</h2>", own).group(1) == "Numbers"
    assert own.index("<table") < own.index("<figure") < own.index("<summary>Settings")


def test_matrices_are_kept_and_are_those_of_the_metrics(evaluated):
    out, report = evaluated
    folder = next(path for path in out.iterdir() if path.name.startswith("0-"))
    for name in ("cd", "lfd"):
        matrix = np.load(folder / f"{name}-shapes-references.npz")["distances"]
        assert matrix.shape == (report["models"][0]["shapes"], 3)
        assert matrix.min(axis=0).mean() == pytest.approx(report["models"][0]["metrics"][f"mmd_{name}"]["value"])
        covered = len(set(matrix.argmin(axis=1).tolist())) / 3 * 100
        assert covered == pytest.approx(report["models"][0]["metrics"][f"cov_{name}"]["value"])
        own = np.load(folder / f"{name}-shapes-own.npz")["distances"]
        assert (own == own.T).all()


@pytest.mark.usefixtures("numbers_only")
def test_the_same_command_measures_nothing_again(evaluated, models, data, tmp_path, monkeypatch):
    out, report = _copied(evaluated, tmp_path)
    for module, name in ((shape_sets, "mesh_quality"), (shape_sets, "sample_surface")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("measured again"))
    assert evaluate(small(models, data, out), CONSOLE)["models"] == report["models"]


@pytest.mark.usefixtures("numbers_only")
def test_another_version_of_a_descriptor_is_measured_anew(models, data, tmp_path, monkeypatch):
    config = small(models[:1], data, tmp_path, textures=0, images=0, references=2, train_objects=2, distances=("cd",))
    evaluate(config, CONSOLE)
    monkeypatch.setattr("get3d.metrics.lightfield.VERSION", 99)
    measured = []
    original = shape_sets.mesh_quality
    monkeypatch.setattr(shape_sets, "mesh_quality", lambda mesh: measured.append(1) or original(mesh))
    evaluate(config, CONSOLE)
    assert len(measured) == 8 + 4


@pytest.mark.usefixtures("numbers_only")
def test_images_need_no_meshes(models, data, tmp_path):
    config = small(models[:1], data, tmp_path, shapes=False, meshes=tmp_path / "none", textures=0)
    report = evaluate(config, CONSOLE)
    assert set(report["models"][0]["metrics"]) == {"swd", "swd_rgb", "swd_mask"}
    assert "FID, KID, precision and recall are left out" in report["warnings"][0]


@pytest.mark.usefixtures("numbers_only")
def test_efficientnet_gives_fed_beside_that_of_real_images(models, data, tmp_path, monkeypatch):
    kind = replace(NETWORKS["efficientnet"], there=lambda: True, open=_TwelvePixels)
    monkeypatch.setitem(NETWORKS, "efficientnet", kind)
    compared, measured = [], comparison.real_features

    def counted(images, network, device, ranks, chosen):
        compared.append(len(chosen))
        return measured(images, network, device, ranks, chosen)

    monkeypatch.setattr(comparison, "_REAL_IMAGES", 2)
    monkeypatch.setattr(comparison, "real_features", counted)
    config = small(models[:1], data, tmp_path, shapes=False, textures=0)
    report = evaluate(config, CONSOLE)
    assert compared == [config.images, 2 * config.images]
    own, real = report["models"][0]["metrics"], report["real"]
    assert own["fed"]["value"] > real["fed"]["value"] > 0
    assert own["ked"]["value"] > real["ked"]["value"]
    assert "FED" not in report["warnings"][0]


class _TwelvePixels(EfficientNetLite):
    """The network itself, on the smallest images that it takes, for the sake of time."""

    SIDE = 32


@pytest.mark.usefixtures("numbers_only")
def test_a_network_gives_fid(models, data, tmp_path, monkeypatch):
    class StandIn(torch.nn.Module):
        def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
            return torch.nn.functional.adaptive_avg_pool2d(x.to(torch.float32), 2).flatten(1)

    path = tmp_path / "network.pt"
    with pytest.warns(DeprecationWarning):
        torch.jit.save(torch.jit.script(StandIn()), path)
    config = small(models[:1], data, tmp_path / "out", shapes=False, textures=0, inception=path)
    with pytest.raises(InputError, match="another file"):
        evaluate(config, CONSOLE)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    original = comparison.Inception
    monkeypatch.setattr(comparison, "Inception", lambda given: original(given, sha256))
    report = evaluate(config, CONSOLE)
    metrics = report["models"][0]["metrics"]
    assert {"fid", "kid", "precision", "recall"} <= set(metrics)
    assert metrics["fid"]["value"] > report["real"]["fid"]["value"]
    assert "50000" in report["warnings"][0]


@pytest.mark.parametrize("isosurface", ["tetrahedra", "flexicubes"])
def test_a_model_whose_field_has_one_sign_is_empty_and_no_good(data, tmp_path, isosurface):
    path = tmp_path / "empty.safetensors"
    save_model(path, 0, isosurface=isosurface, sdf_bias=-1000.0)
    config = small([str(path)], data, tmp_path / "out", references=2, images=16)
    report = evaluate(config, CONSOLE)
    model = report["models"][0]
    assert (model["shapes"], model["empty"], model["neighbours"]) == (0, list(range(8)), [])
    values = {name: value["value"] for name, value in model["metrics"].items()}
    shares = ("watertight", "manifold", "self_intersection_free", "watertight_single_body", "single_body")
    assert values["empty"] == 100
    assert [values[name] for name in shares] == [0] * 5
    assert values["cov_cd"] == values["cov_lfd"] == 0
    # What would be a mean over no shape at all is not there.
    assert not {"mmd_cd", "1nna_lfd", "variety_cd", "train_lfd", "faces", "slivers", "texture_used"} & set(values)
    assert values["swd_mask"] > report["real"]["swd_mask"]["value"]
    assert "8 of 8 generated shapes are empty" in " ".join(report["warnings"])


@pytest.mark.usefixtures("numbers_only")
def test_empty_shapes_among_others_are_named_counted_and_left_out_of_distances(data, tmp_path):
    path = tmp_path / "some.safetensors"
    save_model(path, 0)
    generator = load(path)
    # The value at which a third of the shapes still have a surface.
    highest = torch.stack([_highest_sdf(generator, seed) for seed in range(12)])
    save_model(path, 0, sdf_bias=-float(highest.sort(descending=True).values[3:5].mean()))
    expected = [seed for seed in range(12) if highest[seed] < highest.sort(descending=True).values[3]]
    assert len(expected) == 8
    config = small([str(path)], data, tmp_path / "out", textures=0, images=0, distances=("cd",))
    model = evaluate(config, CONSOLE)["models"][0]
    assert model["empty"] == expected
    assert [entry["seed"] for entry in model["neighbours"]] == [seed for seed in range(12) if seed not in expected]
    values = {name: value["value"] for name, value in model["metrics"].items()}
    assert values["empty"] == pytest.approx(100 * 8 / 12)
    assert 0 < values["watertight"] <= 100 * 4 / 12
    folder = next(path for path in (tmp_path / "out").iterdir() if path.name.startswith("0-"))
    assert np.load(folder / "cd-shapes-references.npz")["distances"].shape == (4, 3)


def _highest_sdf(generator, seed):
    """The highest value of a shape's field on the grid."""
    points = generator.isosurface.grid.vertices[None]
    return generator.field(generator.sample_latents(1, seed), 1.0).sdf(points).max()


@pytest.mark.usefixtures("numbers_only")
@pytest.mark.slow
def test_shapes_of_another_configuration_are_made_anew(models, data, tmp_path):
    """The same weights in the same place: another grid is another set of shapes, on which all numbers depend."""
    path = tmp_path / "model.safetensors"
    config = small([str(path)], data, tmp_path / "out", textures=0, images=0, distances=("cd",))
    faces = {}
    for name, resolution, size in (("coarse", 8, 0.8), ("fine", 12, 0.8), ("small", 8, 0.5)):
        save_model(path, 0, grid_resolution=resolution, grid_size=size)
        evaluated = evaluate(config, CONSOLE)["models"][0]["metrics"]
        fresh = evaluate(replace(config, out=tmp_path / name), CONSOLE)["models"][0]["metrics"]
        assert evaluated == fresh
        faces[name] = evaluated["faces"]["value"], evaluated["mmd_cd"]["value"]
    assert len(set(faces.values())) == 3


@pytest.mark.usefixtures("numbers_only")
def test_the_published_protocol_mixes_styles_binarises_masks_and_does_not_centre(models, data, tmp_path):
    config = small(models[:1], data, tmp_path, textures=0, references=2, protocol="published", distances=("cd",))
    report = evaluate(config, CONSOLE)
    assert report["settings"]["options"]["protocol"] == "published"
    assert report["warnings"][0].startswith("By the published protocol: styles mixed with probability 0.9")
    plain = evaluate(replace(config, protocol="plain", out=tmp_path / "plain"), CONSOLE)
    for name in ("mmd_cd", "swd_mask", "swd_rgb"):
        assert report["models"][0]["metrics"][name] != plain["models"][0]["metrics"][name]


@pytest.mark.usefixtures("numbers_only")
def test_one_reference_is_said_to_tell_nothing(models, data, tmp_path):
    config = small(models[:1], data, tmp_path, textures=0, images=0, references=1, distances=("cd",))
    report = evaluate(config, CONSOLE)
    assert "only one reference" in report["warnings"][0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": ()}, "no model was given"),
        ({"references": 99}, "--references is 99, but the split 'test'"),
        ({"references": 0}, "--references is 0"),
        ({"ratio": 0}, "--ratio is 0"),
        ({"psi": 3.0}, "--psi is 3.0"),
        ({"psi": 0.5, "protocol": "published"}, "--psi is 0.5, but the published protocol"),
        ({"images": 2}, "--images is 2"),
        ({"distances": ()}, "--distances is empty"),
        ({"meshes": Path("/nowhere")}, "no such mesh"),
        ({"data": Path("/nowhere")}, "no such folder"),
        ({"models": ("/nowhere",)}, "no such model"),
    ],
)
def test_bad_options_are_refused(models, data, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        evaluate(replace(small(models[:1], data, tmp_path), **changes), CONSOLE)


def test_a_damaged_mesh_is_named(models, data, tmp_path):
    meshes = tmp_path / "meshes"
    meshes.mkdir()
    for path in (data / "meshes").glob("*.glb"):
        (meshes / path.name).write_bytes(path.read_bytes())
    (meshes / "000003.glb").write_bytes(b"glTF nonsense")
    with pytest.raises(InputError, match=r"000003\.glb: is not a readable mesh"):
        evaluate(small(models[:1], data, tmp_path / "out", meshes=meshes), CONSOLE)


def test_nothing_is_written_through_a_link_of_the_datasets(data, tmp_path):
    """What is measured of meshes is kept beside them, but not where a link leads out of their folder."""
    outside = tmp_path / "outside"
    outside.mkdir()
    linked = tmp_path / "meshes"
    linked.mkdir()
    mesh = next((data / "meshes").rglob("*.glb"))
    (outside / "a.glb").write_bytes(mesh.read_bytes())
    (linked / "own.glb").write_bytes(mesh.read_bytes())
    (linked / "kind").symlink_to(outside)
    measures = shape_sets.Measures(points=16, descriptors=False)
    device = torch.device("cpu")
    found = shape_sets.mesh_set(linked, ["own", "kind/a"], measures, device, lambda number: None)
    assert len(found) == 2
    assert [path.name for path in outside.iterdir()] == ["a.glb"]
    assert sorted(path.name for path in linked.iterdir()) == ["kind", "own.glb", "own.glb.measures.npz"]
