"""The phase before the adversarial one: what its steps do, and that a run goes on through it as if never stopped."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from get3d.cameras import Cameras
from get3d.checkpoints.model import images_shown, load, training_objects, training_styles
from get3d.checkpoints.release import ReleaseConfig, release
from get3d.color import bytes_to_unit, unit_to_signed
from get3d.datasets.loader import ImageDataset
from get3d.files import InputError
from get3d.generation.config import GenerateConfig
from get3d.generation.generate import generate
from get3d.latents import Styles
from get3d.networks.waves import wave_basis
from get3d.reconstruction.config import HullConfig
from get3d.reconstruction.hulls import lattice_sdf
from get3d.reconstruction.initial import seen_colors
from get3d.storage import load_tensors, read_description, save_tensors
from get3d.training.checkpoint import checkpoints_in
from get3d.training.config import TrainConfig, prepare_run
from get3d.training.loop import start, train
from get3d.training.warmup_step import begin_warmup, warmup_step
from ranks import Ranks, statistics
from tiny import GENERATOR, SEPARATE, run_config, tensors_of, write_dataset

QUIET = Console(quiet=True)
LIT = replace(GENERATOR, materials="base_color")
"""Learns the light, too: the images do not say theirs."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("discs"), views=3)


def _config(data: Path, out: Path, **changes: object) -> TrainConfig:
    """20 images of warm-up in steps of two objects, 4 of the discriminator alone, 16 of both."""
    config = run_config(data, out, warmup_kimg=0.020, **changes)
    return replace(config, warmup=replace(config.warmup, views=2, discriminator_kimg=0.004))


def test_images_of_an_object_follow_each_other(data: Path):
    images = ImageDataset(data, "train")
    stream = images.object_batches(8, 2, seed=1)
    epoch = [next(stream) for _ in range(len(images.objects) // 4)]
    numbers = torch.cat([batch.object for batch in epoch]).view(-1, 2)
    assert numbers[:, 0].equal(numbers[:, 1])
    assert sorted(numbers[:, 0].tolist()) == list(range(len(images.objects)))
    for batch in epoch:
        for first in range(0, 8, 2):
            assert not batch.angles[first].equal(batch.angles[first + 1])
            known = images.angles[images.object == batch.object[first]]
            assert all((known == angles).all(1).any() for angles in batch.angles[first : first + 2])


def test_a_stream_of_objects_goes_on_and_is_shared(data: Path):
    images = ImageDataset(data, "train")
    stream = images.object_batches(8, 2, seed=1)
    batches = [next(stream) for _ in range(5)]
    later = next(images.object_batches(8, 2, seed=1, position=32))
    assert later.images.equal(batches[4].images)
    halves = [next(images.object_batches(8, 2, 1, 0, rank, 2)) for rank in range(2)]
    assert torch.cat([half.object for half in halves]).equal(batches[0].object)
    assert torch.cat([half.images for half in halves]).equal(batches[0].images)


def test_an_object_with_too_few_images_shows_some_again(data: Path):
    images = ImageDataset(data, "train")
    batch = next(images.object_batches(10, 5, seed=0))
    assert len(batch.images) == 10
    assert len(batch.angles[:5].unique(dim=0)) <= 3


@pytest.mark.parametrize("anew", [False, True])
def test_textures_of_waves_begin_with_the_colors_of_images(data: Path, tmp_path: Path, anew: bool):
    """Before the first step each object has the colours that its images show, but for what two frequencies lack.

    So it is from the beginning, and where a model without waves, which has learnt shapes, gets them.
    """
    generator = replace(GENERATOR, w_dim=64)
    if anew:
        first = train(_config(data, tmp_path / "first", generator=generator, kimg=0.008), QUIET)
        run = prepare_run(_config(data, tmp_path, init_from=first, grow_frequencies=2))
    else:
        generator = replace(generator, synthesis=replace(generator.synthesis, texture_frequencies=2))
        run = prepare_run(_config(data, tmp_path, generator=generator))
    state, images = start(run.config, len(run.images.objects)), run.images
    begin_warmup(state, run.initial_codes())
    if anew:
        held, fresh = tensors_of(tmp_path / "first", 8), start(replace(run.config, init_from=None), len(images.objects))
        assert state.codes.styles[:, 0].equal(held["codes.styles"][:, 0])
        texture = {id(weight) for weight in state.generator.synthesis.texture.parameters()}
        new = fresh.generator.synthesis.state_dict()
        for name, weight in state.generator.synthesis.named_parameters():
            if not name.startswith("waves"):
                assert weight.equal(new[name] if id(weight) in texture else held[f"generator_ema.synthesis.{name}"]), (
                    name
                )
    for generator in (state.generator, state.generator_ema):
        fields = generator.fields(state.codes(torch.arange(len(images.objects))))
        waves, own, others = fields.texture.waves[..., :3].detach(), [], []
        for number, rows in enumerate(images.by_object()):
            cameras = Cameras.of_prior(images.prior, images.angles[rows])
            points, colors = seen_colors(bytes_to_unit(images.load(rows)), cameras, GENERATOR.grid_size, 8)
            basis = wave_basis(points, GENERATOR.grid_size, 2)
            for errors, amplitudes in ((own, waves[number]), (others, waves[number - 1])):
                errors.append(float((basis @ amplitudes - unit_to_signed(colors)).abs().mean()))
        assert sum(own) < 0.4 * sum(others)


@pytest.mark.slow
def test_reconstruction_gets_better(data: Path, tmp_path: Path):
    config = prepare_run(_config(data, tmp_path)).config
    config = replace(config, warmup_kimg=1.0)
    images = ImageDataset(data, "train")
    state, stream = start(config, len(images.objects)), images.object_batches(4, 2, 0)
    losses = []
    for _ in range(90):
        state.sums.clear()
        warmup_step(state, next(stream), config)
        losses.append({name: float(total / count) for name, (total, count) in state.sums.items()})
    first, last = losses[:5], losses[-5:]
    for name in ("loss/mask", "loss/color"):
        assert sum(step[name] for step in last) < 0.7 * sum(step[name] for step in first), name
    assert state.codes is not None and state.codes.styles.isfinite().all()


def test_random_shapes_are_held_every_few_steps(data: Path, tmp_path: Path):
    """What has no weight but the surfaces of random shapes moves the networks then, and only then."""
    config = prepare_run(_config(data, tmp_path)).config
    images = ImageDataset(data, "train")
    objective = replace(config.objective, regularizers={"sdf": 0.0, "floaters": 1.0, "gaps": 1.0, "normals": 1.0})
    warmup = replace(config.warmup, losses={"color": 0.0}, code_prior=0.0, random_interval=3)
    config = replace(config, warmup_kimg=1.0, warmup=warmup, objective=objective)
    state, stream = start(config, len(images.objects)), images.object_batches(4, 2, 0)
    held = []
    for _ in range(7):
        state.sums.clear()
        warmup_step(state, next(stream), config)
        held.append("random/normals" in state.sums)
        assert ("random/floaters" in state.sums) == ("random/gaps" in state.sums) == held[-1]
        assert "surface/normals" in state.sums
        assert not {"surface/floaters", "surface/gaps"} & state.sums.keys()
    assert held == [True, False, False, True, False, False, True]
    prior = state.generator.mapping_geometry
    assert prior.centers.abs().sum() > 0


def test_deflation_makes_shapes_smaller(data: Path, tmp_path: Path):
    """Where nothing else asks for anything, shapes shrink from all sides that images show."""
    config = prepare_run(_config(data, tmp_path)).config
    images = ImageDataset(data, "train")
    warmup = replace(
        config.warmup, losses={"mask": 0.0}, hull=HullConfig(weight=0.0), code_prior=0.0, random_interval=0
    )
    config = replace(config, warmup_kimg=1.0, warmup=replace(warmup, deflation=1.0))
    state, stream = start(config, len(images.objects)), images.object_batches(4, 2, 0)

    def volume() -> float:
        assert state.codes is not None
        styles, axis = state.codes.styles.detach(), torch.linspace(-0.4, 0.4, 17)
        fields = state.generator.fields(Styles(styles[:, 0], styles[:, 1]))
        return (lattice_sdf(fields.geometry, axis) > 0).float().mean().item()

    before = volume()
    for _ in range(20):
        warmup_step(state, next(stream), config)
    assert 0 < volume() < 0.95 * before


@pytest.fixture(scope="module")
def uninterrupted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("uninterrupted")
    train(_config(data, out), QUIET)
    return out


def test_phases_follow_each_other(uninterrupted: Path):
    lines = {line["cur_nimg"]: line for line in statistics(uninterrupted)}
    assert [nimg for nimg, line in lines.items() if "codes/mean_square" in line] == [8, 16, 20]
    assert "loss/generator" not in lines[24]
    assert "loss/discriminator" in lines[24]
    assert "loss/generator" in lines[32]
    before, after = tensors_of(uninterrupted, 20), tensors_of(uninterrupted, 40)
    codes = "codes.styles"
    assert before[codes].equal(after[codes])
    moved = [name for name in before if name.startswith("generator.") and not before[name].equal(after[name])]
    assert any("synthesis" in name for name in moved)


def test_a_run_that_starts_from_another_has_its_codes_and_its_mean_for_other_objects(
    data: Path, tmp_path: Path, uninterrupted: Path
):
    tensors = tensors_of(uninterrupted, 40)
    codes = tensors["codes.styles"]
    run = prepare_run(_config(data, tmp_path / "run", init_from=uninterrupted))
    assert run.initial_codes().styles.equal(codes)
    more = write_dataset(tmp_path / "more", views=3, objects=20)
    run = prepare_run(_config(more, tmp_path / "run", init_from=uninterrupted))
    assert run.config.warmup_total > 0
    styles, known = run.initial_codes().styles, training_objects(uninterrupted)
    means = torch.stack([tensors[f"generator_ema.mapping_{part}.w_avg"] for part in ("geometry", "texture")])
    assert 0 < len(known) < len(run.images.objects)
    for name, style in zip(run.images.objects, styles, strict=True):
        assert style.equal(codes[known.index(name)] if name in known else means)


def test_a_run_starts_from_a_model_that_is_only_a_generator(data: Path, tmp_path: Path, uninterrupted: Path):
    release(ReleaseConfig(str(uninterrupted), tmp_path / "lone", "chairs", "CC0-1.0"), QUIET)
    lone = load(tmp_path / "lone", "cpu")
    config = _config(data, tmp_path / "run", init_from=tmp_path / "lone")
    run = prepare_run(config)
    assert run.remarks[0] == f"{tmp_path / 'lone'} knows no object of {data}: all begin as its mean"
    with pytest.raises(InputError, match=r"--warmup\.learns is texture.* knows only 0 of the 8 objects of"):
        prepare_run(replace(config, warmup=replace(config.warmup, learns="texture")))
    state = start(run.config, len(run.images.objects))
    for generator in (state.generator, state.generator_ema):
        for name, tensor in generator.synthesis.state_dict().items():
            assert tensor.equal(lone.synthesis.state_dict()[name]), name
    assert run.initial_codes().styles[:, 1].equal(lone.mapping_texture.w_avg.expand(len(run.images.objects), -1))
    train(run.config, QUIET)
    assert statistics(tmp_path / "run")[-1]["cur_nimg"] == 40


def test_a_released_model_goes_on_with_its_codes(data: Path, tmp_path: Path, uninterrupted: Path):
    """docs/with_codes.py; codes of few objects are all along the components that a model holds."""
    released = release(
        ReleaseConfig(str(uninterrupted), out=tmp_path / "shared", title="discs", licence="CC0-1.0"), QUIET
    )
    script, path = Path(__file__).parents[1] / "docs" / "with_codes.py", tmp_path / "model.safetensors"
    subprocess.run([sys.executable, script, released, "--data", data, "--out", path], check=True)
    names = training_objects(uninterrupted)
    assert training_objects(path) == names
    want, found = (training_styles(source, names, torch.device("cpu")) for source in (uninterrupted, path))
    torch.testing.assert_close(found.geometry, want.geometry, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(found.texture, want.texture, atol=1e-4, rtol=1e-3)


def test_images_of_runs_before_are_counted(data: Path, tmp_path: Path, uninterrupted: Path):
    def released(model: Path) -> float:
        path = release(ReleaseConfig(str(model), tmp_path / "released", "chairs", "CC0-1.0"), QUIET)
        return read_description(path)["about"]["kimg"]

    train(_config(data, tmp_path / "second", init_from=uninterrupted, kimg=0.024), QUIET)
    assert released(uninterrupted) == 0.04
    assert released(tmp_path / "second") == 0.064
    train(_config(data, tmp_path / "second", kimg=0.04), QUIET)
    assert released(tmp_path / "second") == 0.08
    train(_config(data, tmp_path / "third", init_from=tmp_path / "released"), QUIET)
    assert released(tmp_path / "third") == 0.12


@pytest.mark.parametrize(
    ("description", "images"),
    [
        ({}, 0),
        ({"about": {"kimg": 1.5}}, 1500),
        ({"progress": {"cur_nimg": 8}}, 8),
        ({"progress": {"cur_nimg": 8, "before_nimg": 4}, "about": {"kimg": 1.5}}, 12),
        ({"about": {"kimg": "many"}, "progress": [1]}, 0),
        ({"about": {"kimg": float("inf")}}, 0),
        ({"progress": {"cur_nimg": "8", "before_nimg": -4}}, 0),
    ],
)
def test_images_shown_are_those_that_a_description_says(description: dict[str, object], images: int):
    assert images_shown(description) == images


def test_a_run_that_starts_from_another_can_warm_up_again(data: Path, tmp_path: Path, uninterrupted: Path):
    train(_config(data, tmp_path, init_from=uninterrupted, grow_planes=16), QUIET)
    lines = {line["cur_nimg"]: line for line in statistics(tmp_path)}
    assert "codes/mean_square" in lines[20]
    assert "loss/generator" in lines[32]


@pytest.mark.parametrize(
    "generator",
    [
        pytest.param(LIT, id="unified"),
        pytest.param(replace(GENERATOR, synthesis=SEPARATE), id="separate"),
    ],
)
@pytest.mark.slow
def test_the_adversarial_phase_can_change_textures_only(data: Path, tmp_path: Path, generator):
    config = _config(data, tmp_path, generator=generator, kimg=0.072)
    config = replace(config, objective=replace(config.objective, adversarial="texture"), keep=100, snapshot_kimg=0.004)
    train(config, QUIET)
    before, after = tensors_of(tmp_path, 24), tensors_of(tmp_path, 72)
    weights = [name for name in before if not name.endswith("w_avg")]
    moved = {name for name in weights if not before[name].equal(after[name])}
    state = start(prepare_run(config).config, len(ImageDataset(data, "train").objects))
    texture = {id(weight) for weight in state.generator.synthesis.texture.parameters()}
    of_texture = {f"generator.{name}" for name, weight in state.generator.named_parameters() if id(weight) in texture}
    assert {name for name in moved if name.startswith("generator.")} == of_texture
    judges = {name.removeprefix("discriminator.").split(".")[0] for name in moved if name.startswith("discriminator.")}
    assert judges == {"rgb"}
    line = statistics(tmp_path)[-1]
    assert "logits/rgb_fake" in line
    assert "logits/mask_fake" not in line


@pytest.mark.parametrize("generator", [LIT, replace(GENERATOR, synthesis=SEPARATE)], ids=["unified", "separate"])
def test_a_warm_up_can_teach_textures_only(data: Path, tmp_path: Path, generator):
    first = train(_config(data, tmp_path / "first", generator=generator, kimg=0.020), QUIET)
    config = _config(data, tmp_path / "run", init_from=first, kimg=0.020, grow_frequencies=2)
    train(replace(config, warmup=replace(config.warmup, learns="texture", deflation=1.0)), QUIET)
    before, after = tensors_of(tmp_path / "first", 20), tensors_of(tmp_path / "run", 20)
    geometry, texture = (before["codes.styles"] - after["codes.styles"]).unbind(1)
    assert not geometry.any()
    assert texture.any()

    made, again = load(first, "cpu"), load(tmp_path / "run", "cpu")
    latents = made.sample_latents(4, seed=0)
    assert made.meshes(latents).vertices.equal(again.meshes(latents).vertices)
    learnt = {id(weight) for weight in again.synthesis.texture.parameters()}
    for name, weight in again.synthesis.named_parameters():
        held = before.get(f"generator_ema.synthesis.{name}")
        assert (held is not None and held.equal(weight)) == (id(weight) not in learnt), name
    if generator is LIT:
        assert not before["generator.learnt_light.log_amplitude"].equal(after["generator.learnt_light.log_amplitude"])
    line = statistics(tmp_path / "run")[-1]
    assert not {"loss/hull", "loss/deflation", "random/sdf"} & line.keys()


@pytest.mark.parametrize("option", ["objective.adversarial", "warmup.learns"])
def test_textures_only_need_shapes(data: Path, tmp_path: Path, option: str):
    config = run_config(data, tmp_path / "run")
    part, name = option.split(".")
    config = replace(config, **{part: replace(getattr(config, part), **{name: "texture"})})
    with pytest.raises(InputError, match=rf"--{option} is texture"):
        prepare_run(config)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_random_styles_are_around_the_codes_in_every_checkpoint(data: Path, tmp_path: Path, uninterrupted: Path):
    train(_config(data, tmp_path, kimg=0.012), QUIET)
    half = load(tmp_path, "cpu")
    tensors = tensors_of(tmp_path, 12)
    name = "mapping_geometry.centers"
    assert not tensors[f"generator_ema.{name}"].equal(tensors[f"generator.{name}"])
    styles = half.styles(half.sample_latents(2000, 0), per_layer=False)
    for kind, number in (("geometry", 0), ("texture", 1)):
        codes, drawn = tensors["codes.styles"][:, number], getattr(styles, kind)
        spread = codes.T.cov().diagonal().sum()
        assert (drawn.mean(0) - codes.mean(0)).square().sum() < 0.02 * spread
        torch.testing.assert_close(drawn.T.cov().diagonal().sum(), spread, atol=0, rtol=0.15)
    border = tensors_of(uninterrupted, 20)
    assert border[f"generator_ema.{name}"].equal(border[f"generator.{name}"])
    assert tensors_of(uninterrupted, 40)[f"generator.{name}"].equal(border[f"generator.{name}"])


@pytest.mark.slow
@pytest.mark.parametrize("stops", [(0.012,), (0.020,), (0.024,), (0.008, 0.016, 0.028)])
def test_a_run_goes_on_through_both_phases_as_if_never_stopped(
    data: Path, tmp_path: Path, uninterrupted: Path, stops: tuple[float, ...]
):
    for kimg in (*stops, 0.040):
        train(_config(data, tmp_path, kimg=kimg), QUIET)
    want, found = tensors_of(uninterrupted, 40), tensors_of(tmp_path, 40)
    assert want.keys() == found.keys()
    for name, tensor in want.items():
        assert tensor.equal(found[name]), name


@pytest.mark.slow
def test_processes_and_micro_batches_follow_the_course_of_one(data: Path, tmp_path: Path):
    base = _config(data, tmp_path, kimg=0.016, batch=8, generator=LIT)
    base = replace(base, discriminator=replace(base.discriminator, group=2))
    variants = {"one": (base, 1), "two": (base, 2), "parts": (replace(base, grad_accum_steps=2), 1)}
    learnt = ("codes.styles", "generator.learnt_light.log_amplitude")
    found = {}
    for name, (config, world) in variants.items():
        config = replace(config, out=tmp_path / name)
        ranks = Ranks([config] * world)
        said = ranks.end()
        assert [process.exitcode for process in ranks.processes] == [0] * world, said
        tensors = tensors_of(config.out, 16)
        found[name] = {part: tensors[part] for part in learnt}
    for name in ("two", "parts"):
        torch.testing.assert_close(found[name], found["one"], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("lengths", [(0.0, 0.020), (0.020, 0.0), (0.020, 0.040)])
def test_a_run_keeps_its_warm_up(data: Path, tmp_path: Path, lengths: tuple[float, float]):
    first, second = (replace(_config(data, tmp_path, kimg=0.004), warmup_kimg=length) for length in lengths)
    train(first, QUIET)
    fix = f"its run has warmup_kimg = {lengths[0]}, this run asks for {lengths[1]}; repeat the settings"
    with pytest.raises(InputError, match=fix):
        train(replace(second, kimg=0.008), QUIET)
    if not lengths[0]:
        # As one of before the warm-up was there.
        (path,) = checkpoints_in(tmp_path / "checkpoints")
        stored = load_tensors(path)
        older = {name: value for name, value in stored.description.items() if name != "warmup_kimg"}
        save_tensors(path, stored.tensors, older)
        train(replace(first, kimg=0.008), QUIET)
        with pytest.raises(InputError, match="its run has warmup_kimg"):
            train(replace(second, kimg=0.012), QUIET)


@pytest.mark.slow
@pytest.mark.parametrize(
    "generator",
    [
        replace(GENERATOR, isosurface="flexicubes"),
        replace(GENERATOR, synthesis=SEPARATE),
        replace(GENERATOR, materials="pbr", synthesis=replace(GENERATOR.synthesis, texture_frequencies=2)),
        replace(GENERATOR, synthesis=replace(SEPARATE, texture_frequencies=2)),
    ],
    ids=["flexicubes", "separate", "pbr of waves", "separate, of waves"],
)
def test_any_generator_warms_up(data: Path, tmp_path: Path, generator):
    train(_config(data, tmp_path, generator=generator, kimg=0.028), QUIET)
    assert all(value == value for line in statistics(tmp_path) for value in line.values())
    assert load(tmp_path, "cpu").config.isosurface == generator.isosurface


@pytest.mark.slow
def test_classes_have_priors_of_their_own(tmp_path: Path):
    data = write_dataset(tmp_path / "data", views=2)
    description = json.loads((data / "dataset.json").read_text())
    objects = sorted({path.name for path in (data / "images").iterdir()})
    description["labels"] = {"odd": objects[1::2], "even": objects[::2]}
    (data / "dataset.json").write_text(json.dumps(description))
    train(_config(data, tmp_path / "out", kimg=0.020), QUIET)
    generator = load(tmp_path / "out", "cpu")
    codes = tensors_of(tmp_path / "out", 20)["codes.styles"]
    labels = prepare_run(_config(data, tmp_path / "out")).object_labels
    for label in range(2):
        mean = codes[labels == label, 0].mean(0)
        torch.testing.assert_close(generator.mapping_geometry.w_avg[label], mean)


def test_one_image_of_each_object_leaves_the_phase_out(tmp_path: Path):
    data = write_dataset(tmp_path / "data", views=1)
    console = Console(width=200, record=True)
    train(_config(data, tmp_path / "out", kimg=0.008), console)
    assert "no warm-up: " in console.export_text()
    assert not any("codes/mean_square" in line for line in statistics(tmp_path / "out"))


def test_a_batch_of_whole_objects_is_asked_for(data: Path, tmp_path: Path):
    config = _config(data, tmp_path)
    config = replace(config, warmup=replace(config.warmup, views=3))
    with pytest.raises(InputError, match=r"--batch is 4; it must be a multiple of 3, --warmup.views \(3\)"):
        prepare_run(config)
    with pytest.raises(InputError, match=r"--warmup.losses is hue; it must be of color, mask"):
        prepare_run(replace(config, warmup=replace(config.warmup, losses={"hue": 1.0})))


def test_what_a_model_made_of_training_objects(uninterrupted: Path, tmp_path: Path):
    options = {"resolution": 16, "texture": 16, "faces": 100, "video": "none", "device": "cpu", "format": "obj"}
    model = str(uninterrupted)
    files = generate(GenerateConfig(model, tmp_path, training_object=("003", "001"), **options), QUIET)
    assert {"003.obj", "001.obj"} <= {file.name for file in files}
    again = tmp_path / "again"
    generate(GenerateConfig(model, again, latents=tmp_path / "shapes.json", **options), QUIET)
    assert (again / "003.obj").read_bytes() == (tmp_path / "003.obj").read_bytes()
    styles = training_styles(uninterrupted, ["003"], torch.device("cpu"))
    (newest, *_) = checkpoints_in(uninterrupted / "checkpoints")
    torch.testing.assert_close(styles.texture[0], load_tensors(newest).tensors["codes.styles"][3, 1])
    with pytest.raises(InputError, match=r"--training-object 103: no object .* like it are 003"):
        generate(GenerateConfig(model, tmp_path, training_object=("103",), **options), QUIET)
    with pytest.raises(InputError, match="holds no codes of training objects"):
        generate(GenerateConfig("chair", tmp_path, training_object=("103",), **options), QUIET)
