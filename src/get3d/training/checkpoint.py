"""Checkpoints: everything that a run needs to resume as if it had not been stopped, in a file that is also a model.

A checkpoint holds both networks, the averaged generator, both optimisers, the sums of the statistics that are not yet
written, and progress. The randomness of a step and the order of the images depend on the seed and the number of
images shown, so progress is the complete random state and data position.

A background thread writes it from a copy while training continues.
"""

import os
import re
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

from rich.console import Console
from torch import Tensor, nn
from torch.optim import Optimizer

from get3d.checkpoints.model import CODES, WEIGHTS, images_shown, load_weights
from get3d.distributed.processes import SINGLE_PROCESS, Ranks
from get3d.files import InputError, writing
from get3d.generator import LIGHT, Generator
from get3d.generator_config import GeneratorConfig
from get3d.networks import Discriminator, DiscriminatorConfig
from get3d.ranges import Range
from get3d.reconstruction.codes import ObjectCodes
from get3d.storage import (
    Stored,
    describe,
    load_tensors,
    read_description,
    remove_half_written,
    restore,
    save_tensors,
    with_prefix,
    without_prefix,
)
from get3d.training.growing import grown

__all__ = [
    "BEST",
    "CheckpointWriter",
    "TrainingState",
    "checkpoint_bytes",
    "checkpoints_in",
    "resume",
    "save_checkpoint",
    "shown_of",
    "start_from",
]

BEST = "best.safetensors"
_NAME = re.compile(r"checkpoint-(\d{12})\.safetensors")


@dataclass
class TrainingState:
    """What changes while training.

    Attributes:
        generator, discriminator: the trained networks.
        generator_ema: the moving average of the generator, which is what users get.
        generator_optimizer, discriminator_optimizer: with their moments.
        cur_nimg: real images shown so far.
        before_nimg: those that the networks of `start_from` had been shown before.
        sums: of each statistic since it was last written, [2] (sum, count), float64.
        best: lowest value so far of the metric that names the best checkpoint.
        nonfinite_steps: steps in a row that were skipped for a gradient that was not finite.
        codes: of the training objects, of a run with a warm-up.
        warmup_optimizer: of `warmup_learners`; None before and after the warm-up.
    """

    generator: Generator
    generator_ema: Generator
    discriminator: Discriminator
    generator_optimizer: Optimizer
    discriminator_optimizer: Optimizer
    cur_nimg: int = 0
    before_nimg: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)
    best: float | None = None
    nonfinite_steps: int = 0
    codes: ObjectCodes | None = None
    warmup_optimizer: Optimizer | None = None

    @property
    def warmup_learners(self) -> list[nn.Module]:
        """What the warm-up changes: the synthesis network, the codes, and a light that is learnt."""
        learners = (self.generator.synthesis, self.codes, self.generator.learnt_light)
        return [learner for learner in learners if learner is not None]

    def _networks(self) -> dict[str, nn.Module]:
        return {"generator.": self.generator, WEIGHTS: self.generator_ema, "discriminator.": self.discriminator}

    def _modules(self) -> dict[str, nn.Module]:
        return self._networks() | ({} if self.codes is None else {CODES: self.codes})

    def _optimizers(self) -> dict[str, Optimizer]:
        optimizers = {
            "generator_optimizer.": self.generator_optimizer,
            "discriminator_optimizer.": self.discriminator_optimizer,
        }
        return (
            optimizers if self.warmup_optimizer is None else optimizers | {"warmup_optimizer.": self.warmup_optimizer}
        )


@dataclass(frozen=True)
class _Progress:
    """What a checkpoint says of how far a run is, as `TrainingState` has it."""

    cur_nimg: Annotated[int, Range(0)]
    best: float | None
    nonfinite_steps: Annotated[int, Range(0)]
    before_nimg: Annotated[int, Range(0)] = 0


def save_checkpoint(folder: Path, state: TrainingState, description: dict[str, Any], *, keep: int, best: bool) -> Path:
    """Writes a checkpoint, removes those before the last `keep`, and marks it as the best where it is.

    Args:
        folder: folder of the checkpoints.
        state: the state to save.
        description: the run's configuration; "generator" and "discriminator" must be those of the networks.
        keep: number of checkpoints to keep, in addition to the best.
        best: whether this is the best so far.

    Raises:
        InputError: it cannot be written (permission, full disk); earlier checkpoints are unchanged.
    """
    return _write(folder, _copied(state, description), keep, best)


class CheckpointWriter:
    """Writes the checkpoints of a run in the background, one at a time; training waits only for the copy.

    Args:
        folder: where checkpoints of the run lie.
        keep: number of checkpoints to keep, in addition to the best.
        console: for an error that another one comes before.
    """

    def __init__(self, folder: Path, keep: int, console: Console) -> None:
        self._folder, self._keep, self._console = folder, keep, console
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[Path] | None = None

    def __enter__(self) -> "CheckpointWriter":
        """Removes what a run that was killed while it wrote has left."""
        remove_half_written(self._folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits for the last checkpoint."""
        try:
            self._finish()
        except InputError as problem:
            if error is None:
                raise
            self._console.print(str(problem), style="yellow", highlight=False, markup=False, soft_wrap=True)
        finally:
            self._thread.shutdown()

    def save(self, state: TrainingState, description: dict[str, Any], *, best: bool) -> None:
        """Copies a state, which may change afterwards, and writes it in the background; see `save_checkpoint`.

        Raises:
            InputError: the previous checkpoint, which this waits for, could not be written.
        """
        self._finish()
        self._writing = self._thread.submit(_write, self._folder, _copied(state, description), self._keep, best)

    @property
    def failed(self) -> bool:
        """Whether the last checkpoint could not be written, without waiting; the next `save` raises the reason."""
        return self._writing is not None and self._writing.done() and self._writing.exception() is not None

    def _finish(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()


def checkpoint_bytes(state: TrainingState) -> int:
    """How large a checkpoint of a run is, but for its head; before the first step, too, when optimisers are empty."""
    networks = state._modules().values()
    held = sum(tensor.nbytes for network in networks for tensor in network.state_dict().values())
    # Adam keeps two moments of each weight.
    groups = (group for optimizer in state._optimizers().values() for group in optimizer.param_groups)
    return held + sum(2 * weight.nbytes for group in groups for weight in group["params"])


def _copied(state: TrainingState, description: dict[str, Any]) -> Stored:
    """All of a state as it is now, on the CPU."""
    tensors = with_prefix("sums.", state.sums)
    for prefix, module in state._modules().items():
        tensors |= with_prefix(prefix, module.state_dict())
    for prefix, optimizer in state._optimizers().items():
        for number, moments in optimizer.state_dict()["state"].items():
            tensors |= with_prefix(f"{prefix}{number}.", moments)
    progress = describe(_Progress(state.cur_nimg, state.best, state.nonfinite_steps, state.before_nimg))
    copies = {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
    return Stored(copies, description | {"progress": progress})


def _write(folder: Path, stored: Stored, keep: int, best: bool) -> Path:
    path = folder / f"checkpoint-{stored.description['progress']['cur_nimg']:012d}.safetensors"
    save_tensors(path, stored.tensors, stored.description)
    if best:
        with writing(folder / BEST) as temporary:
            _link(path, temporary)
    for old in checkpoints_in(folder)[keep:]:
        try:
            old.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{old}: cannot be removed ({error.strerror}); make its folder writable") from error
    return path


def _link(source: Path, target: Path) -> None:
    """The same content under a second name, without a second copy where the file system can."""
    target.unlink()
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints of a folder, the newest first."""
    found = folder.iterdir() if folder.is_dir() else iter(())
    return sorted((path for path in found if _NAME.fullmatch(path.name)), reverse=True)


def shown_of(checkpoint: Path) -> int:
    """Real images shown when a checkpoint was written, by its name."""
    found = _NAME.fullmatch(checkpoint.name)
    if found is None:
        raise ValueError(f"{checkpoint} is not a checkpoint name")
    return int(found[1])


def start_from(path: Path, state: TrainingState) -> None:
    """Loads the networks of a model of this or a lower resolution, but not its optimisers and progress.

    The images that they have been shown are noted in `before_nimg`.

    A light that the model has not learnt starts as a new one, and one that this run does not learn is left out. A
    warm-up starts from the averaged generator, and where only the run has waves, with new textures. So does all of a
    run from a model that is only a generator, and its discriminator is new.

    Raises:
        InputError: it cannot be read, or has other networks.
    """
    networks, description = state._networks(), read_description(path)
    state.before_nimg = images_shown(description)
    if "discriminator" in description:
        tensors = load_tensors(path).tensors
    else:
        tensors = with_prefix(WEIGHTS, load_weights(path))
        del networks["discriminator."]
    if state.codes is not None or "discriminator." not in networks:
        tensors |= with_prefix("generator.", without_prefix(WEIGHTS, tensors))
    for prefix, network in networks.items():
        own = network.state_dict()
        anew = () if state.codes is None else ("mapping_", *_new_textures(network, tensors))
        try:
            found = grown(network, without_prefix(prefix, tensors))
            # Random styles of a warm-up are around its own codes. Of light, what both have is taken.
            own = {name: value for name, value in own.items() if name.startswith((*anew, LIGHT))}
            found = {
                name: value
                for name, value in found.items()
                if not name.startswith(anew) and (name in own or not name.startswith(LIGHT))
            }
            network.load_state_dict(own | found)
        except RuntimeError as error:
            raise InputError(f"{path}: its networks do not fit this run ({error}); give another --init-from") from error


def _new_textures(network: nn.Module, tensors: Mapping[str, Tensor]) -> list[str]:
    """The parameters of the texture's layers of a generator with waves, if the model that it starts from has none."""
    if (
        not isinstance(network, Generator)
        or network.synthesis.waves is None
        or any("synthesis.waves." in name for name in tensors)
    ):
        return []
    texture = set(network.synthesis.texture.parameters())
    return [name for name, parameter in network.named_parameters() if parameter in texture]


def resume(
    folder: Path, state: TrainingState, description: dict[str, Any], console: Console, ranks: Ranks = SINGLE_PROCESS
) -> bool:
    """Loads the newest readable checkpoint, and prints which newer ones are not readable. False if there is none.

    The first of several processes reads it for all, so that they resume from the same one.

    Raises:
        InputError: there are checkpoints, but none can be read, or they have other networks.
    """
    stored = ranks.from_first(lambda: _newest(folder, description, console))
    if stored is None:
        return False
    _restore(state, stored.tensors, restore(_Progress, stored.description.get("progress"), folder))
    return True


def _newest(folder: Path, description: dict[str, Any], console: Console) -> Stored | None:
    paths = checkpoints_in(folder)
    problems = []
    for path in paths:
        try:
            stored = load_tensors(path)
        except InputError as error:
            problems.append(str(error))
            text = f"{error}; using the previous checkpoint"
            console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)
            continue
        # The rates of the warm-up depend on its length, and only runs that begin with one have codes.
        same = {"resolution": None, "seed": None, "dataset": None, "warmup_kimg": 0.0}
        saved, wanted = (
            {name: values.get(name, default) for name, default in same.items()}
            for values in (stored.description, description)
        )
        _require_same(path, "its run has", saved, wanted)
        for part, kind in (("generator", GeneratorConfig), ("discriminator", DiscriminatorConfig)):
            # An option that is newer than the run has the default that the run had.
            saved = describe(restore(kind, stored.description.get(part), path))
            _require_same(path, f"its {part} has", saved, description[part])
        return stored
    if problems:
        raise InputError(f"{folder}: no checkpoint can be read; choose another --out to start a new run. {problems[0]}")
    return None


def _require_same(path: Path, whose: str, saved: dict[str, Any], wanted: dict[str, Any]) -> None:
    different = sorted(key for key in saved.keys() | wanted.keys() if saved.get(key) != wanted.get(key))
    if different:
        key = different[0]
        raise InputError(
            f"{path}: {whose} {key} = {saved.get(key)}, this run asks for {wanted.get(key)}; "
            "repeat the settings it was started with, or choose another --out"
        )


def _restore(state: TrainingState, tensors: dict[str, Tensor], progress: _Progress) -> None:
    device = next(state.generator.parameters()).device
    for prefix, module in state._modules().items():
        module.load_state_dict(without_prefix(prefix, tensors))
    for prefix, optimizer in state._optimizers().items():
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in without_prefix(prefix, tensors).items():
            number, key = name.split(".", 1)
            moments.setdefault(int(number), {})[key] = tensor
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    state.sums = {name: tensor.to(device) for name, tensor in without_prefix("sums.", tensors).items()}
    state.cur_nimg, state.before_nimg = progress.cur_nimg, progress.before_nimg
    state.best, state.nonfinite_steps = progress.best, progress.nonfinite_steps
