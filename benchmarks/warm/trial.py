"""One row of the warm start's ablation.

python trial.py --data DATA --out OUT --minutes 8 [options]; minutes are of processor time. Writes numbers.jsonl, an
image every few minutes, and last.pt, from which `--resume` goes on.
"""

import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import tyro
from jaxtyping import Float, Int
from measure import mask_numbers, mesh_numbers, save_rows
from rays import lattice_volume, ray_mask_loss, ray_maximum
from torch import Tensor
from torch.nn import functional as F
from warmup import (
    at_lattice,
    color_loss,
    cosine_fade,
    draw_views,
    mask_loss,
    stratified_axis,
    thin_parts,
    thin_voxels,
    visual_hull,
)
from warmup import styles_of as styles_in_w

from get3d.cameras import Cameras
from get3d.datasets.loader import ImageDataset, to_network
from get3d.generator import Generator
from get3d.latents import Latents, Styles
from get3d.metrics.sliced_wasserstein import sliced_wasserstein_distance
from get3d.networks import StylePrior
from get3d.presets import PRESETS
from get3d.reconstruction.hulls import hull_loss, lattice_sdf


@dataclass(frozen=True)
class Trial:
    data: Path
    out: Path
    minutes: float = 8.0
    objects: int = 6
    views: int = 4
    codes: str = "w"  # w | z | variational | vw (variational in W)
    code_lr: float = 2e-2
    code_noise: float = 0.05
    kl: float = 1e-3
    lr: float = 2e-3
    mapping_lr: float = 2e-3
    color: float = 1.0
    color_scales: int = 1
    mask: float = 5.0
    mask_thin: float = 0.0
    sdf: float = 0.05
    ray: float = 0.0
    ray_end: float = 0.0  # weight at the end of the fade, as a share
    ray_fade: tuple[float, float] = (1.0, 1.0)  # of the run
    ray_thin: float = 0.0
    ray_sharpness: float = 5.0
    ray_temperature: float = 0.1
    ray_pixels: int = 1024
    ray_samples: int = 32
    ray_lattice: int = 40
    hull: float = 0.0
    hull_end: float = 0.0
    hull_fade: tuple[float, float] = (1.0, 1.0)
    hull_thin: float = 0.0
    hull_sharpness: float = 5.0
    hull_lattice: int = 40
    hull_points: int = 24  # of the random lattice, along a side
    hull_objects: int = 0  # further objects of a step that are compared with their hulls only
    grid: int = 40
    planes: int = 32
    channels: int = 16
    betas: tuple[float, float] = (0.5, 0.99)
    decay: bool = True
    seed: int = 0
    every: float = 3.0
    resume: bool = False


HELD = 2  # views of each object that are never trained on


class Data:
    def __init__(self, root: Path, out: Path) -> None:
        images = ImageDataset(root, "train")
        number = torch.from_numpy(images._listing.object_index[images._numbers]).long()
        _, self.object = number.unique(return_inverse=True)
        self.count = int(self.object.max()) + 1
        kept = out.parent / f"images_{root.name}.pt"
        if not kept.exists():
            pixels = images.load(torch.arange(len(images)))
            torch.save((pixels, thin_parts(pixels[:, 3:].float() / 255).to(torch.uint8)), kept)
        self.images, self.thin = torch.load(kept, weights_only=True)
        self.angles, self.prior, self.scale = images.angles, images.prior, images.scale
        views = [torch.nonzero(self.object == i).flatten() for i in range(self.count)]
        self.train = [v[:-HELD] for v in views]
        self.held = torch.stack([v[-HELD:] for v in views])
        val = ImageDataset(root, "val")
        self.val = to_network(val.load(torch.arange(min(len(val), 256))))

    def cameras(self, pick: Tensor) -> Cameras:
        a = self.angles[pick]
        return Cameras.orbit(a[:, 0], a[:, 1], self.prior.radius, math.radians(self.prior.fov))


class TrialCodes(torch.nn.Module):
    """A code for the geometry and one for the texture of every training object.

    Plain codes are points, kept near 0 by their mean square. Variational ones are Gaussians, kept near N(0, I) by their
    divergence from it (Zadeh et al. 2019, "Variational Auto-Decoder").

    Attributes:
        mean: [n, 2, c].
        log_std: [n, 2, c] logarithm of the standard deviation of variational codes; None of plain ones.
    """

    def __init__(self, objects: int, size: int, *, variational: bool = False, scale: float = 0.3) -> None:
        super().__init__()
        self.mean = torch.nn.Parameter(scale * torch.randn(objects, 2, size))
        self.log_std = torch.nn.Parameter(torch.full((objects, 2, size), -1.0)) if variational else None

    def sample(
        self, objects: Int[Tensor, " o"], noise: float, random: torch.Generator
    ) -> tuple[Float[Tensor, "o 2 c"], Float[Tensor, ""]]:
        """Codes of objects, and how far they are from the prior.

        Args:
            objects: their numbers.
            noise: standard deviation that plain codes are given.
            random: draws the noise.
        """
        mean = self.mean[objects]
        normal = torch.randn(mean.shape, generator=random, device=random.device).to(mean)
        if self.log_std is None:
            return mean + noise * normal, mean.square().mean()
        log_std = self.log_std[objects]
        divergence = 0.5 * (mean.square() + (2 * log_std).exp() - 2 * log_std - 1)
        return mean + log_std.exp() * normal, divergence.sum(-1).mean()


def new_codes(trial: Trial, generator: Generator, count: int) -> TrialCodes:
    """Codes in W (w, vw) or in Z (z, variational); vw and variational are Gaussians."""
    size = generator.config.w_dim if trial.codes in ("w", "vw") else generator.config.z_dim
    variational = trial.codes in ("variational", "vw")
    return TrialCodes(count, size, variational=variational, scale={"w": 0.3, "z": 1.0}.get(trial.codes, 0.1))


def random_codes(kind: str, codes: TrialCodes, n: int, seed: int) -> Tensor:
    """Codes of the prior; in W of a Gaussian fitted to the geometry codes and one to the texture codes."""
    z = torch.randn(n, 2, codes.mean.shape[2], generator=torch.Generator().manual_seed(seed))
    if kind != "w":
        return z
    priors = [StylePrior.fitted(codes.mean[:, i], 40) for i in range(2)]
    return torch.stack(
        [prior.mean + 0.8 * z[:, i, : len(prior.directions)] @ prior.directions for i, prior in enumerate(priors)],
        dim=1,
    )


def styles_of(generator: Generator, kind: str, code: Tensor) -> Styles:
    """Styles of codes in W or Z."""
    if kind in ("w", "vw"):
        return styles_in_w(generator, code)
    return generator.styles(Latents(code[:, 0], code[:, 1]))


class Run:
    def __init__(self, trial: Trial) -> None:
        torch.manual_seed(trial.seed)
        self.trial, self.data = trial, Data(trial.data, trial.out)
        base = PRESETS["demo"].config.generator
        synthesis = replace(
            base.synthesis, planes=replace(base.synthesis.planes, resolution=trial.planes, channels=trial.channels)
        )
        config = replace(
            base,
            cameras=self.data.prior,
            grid_size=self.data.scale + 0.1,
            grid_resolution=trial.grid,
            synthesis=synthesis,
        )
        self.g = Generator(config).train()
        self.codes = new_codes(trial, self.g, self.data.count)
        mapping = [*self.g.mapping_geometry.parameters(), *self.g.mapping_texture.parameters()]
        self.groups = [
            {"params": list(self.g.synthesis.parameters()), "lr": trial.lr},
            {"params": mapping, "lr": trial.mapping_lr},
            {"params": list(self.codes.parameters()), "lr": trial.code_lr},
        ]
        self.optimizer = torch.optim.Adam(self.groups, betas=trial.betas)
        self.rates = [group["lr"] for group in self.groups]
        self.step_count, self.seen, self.spent = 0, 0, 0.0
        self.random = torch.Generator().manual_seed(trial.seed)
        if trial.hull:
            start = time.process_time()
            m, size = trial.hull_lattice + 1, config.grid_size
            axis = torch.linspace(-size / 2, size / 2, m)
            points = torch.cartesian_prod(axis, axis, axis)
            d = self.data
            kept = trial.out.parent / f"hull_{trial.data.name}_{trial.hull_lattice}.pt"
            if kept.exists():  # its time counts all the same
                self.hulls, self.spent = torch.load(kept, weights_only=True).values()
            else:
                self.hulls = torch.stack(
                    [
                        visual_hull(d.images[v, 3:].float() / 255, d.cameras(v), points).mul(255).byte().view(m, m, m)
                        for v in d.train
                    ]
                )
                self.spent += time.process_time() - start
                torch.save({"hulls": self.hulls, "seconds": self.spent}, kept)
            self.thin_voxels = torch.cat([thin_voxels(h[None].float() / 255) for h in self.hulls]).byte()
            print("hulls", round(self.spent, 1), "s", flush=True)

    def shapes(self, code: Tensor):
        return self.g.shapes(styles_of(self.g, self.trial.codes, code))

    def step(self) -> dict[str, float]:
        t, d = self.trial, self.data
        progress = min(1.0, self.spent / (60 * t.minutes))
        if t.decay:
            for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
                group["lr"] = rate * (0.1 + 0.9 * cosine_fade(progress, 0.5, 1.0))
        o = torch.randperm(d.count)[: t.objects]
        pick = torch.cat([d.train[i][torch.randperm(len(d.train[i]))[: t.views]] for i in o.tolist()])
        real = to_network(d.images[pick])
        cameras = d.cameras(pick)
        index = torch.arange(t.objects).repeat_interleave(t.views)
        code, prior = self.codes.sample(o, t.code_noise, self.random)
        fields = self.g.fields(styles_of(self.g, self.trial.codes, code))
        shapes = self.g.extract(fields)
        drawn = draw_views(shapes, index, cameras, 64)
        weight = 1 + t.mask_thin * d.thin[pick].float() if t.mask_thin else None
        losses = {
            "color": (t.color, color_loss(drawn.rgb, real, drawn.covered, t.color_scales)),
            "mask": (t.mask, mask_loss(drawn.mask, real[:, 3:], weight)),
            "sdf": (t.sdf, sum(shapes.surfaces.regularizers.values())),
            "prior": (t.kl, prior),
        }
        fade = t.ray_end + (1 - t.ray_end) * cosine_fade(progress, *t.ray_fade)
        if t.ray and fade > 0:
            volume = lattice_volume(fields.geometry, self.g.config.grid_size, t.ray_lattice)
            pixel = torch.stack([torch.randperm(64 * 64)[: t.ray_pixels] for _ in pick])
            xy = torch.stack([pixel % 64, pixel // 64], -1) + 0.5
            jitter = torch.rand(len(pick), t.ray_pixels, t.ray_samples)
            maximum, meets = ray_maximum(
                volume, self.g.config.grid_size, cameras, xy, 64, t.ray_samples, jitter, t.ray_temperature
            )
            wanted = real[:, 3].flatten(1).gather(1, pixel)
            w = 1 + t.ray_thin * d.thin[pick].flatten(1).gather(1, pixel) if t.ray_thin else None
            losses["ray"] = (t.ray * fade, ray_mask_loss(maximum, meets, wanted, t.ray_sharpness, w))
        fade = t.hull_end + (1 - t.hull_end) * cosine_fade(progress, *t.hull_fade)
        if t.hull and fade > 0:
            size = self.g.config.grid_size
            axis = stratified_axis(t.hull_points, size)
            sdf, which = lattice_sdf(fields.geometry, axis), o
            if t.hull_objects:
                more = torch.randperm(d.count)[: t.hull_objects]
                code, _ = self.codes.sample(more, t.code_noise, self.random)
                geometry = self.g.fields(styles_of(self.g, self.trial.codes, code)).geometry
                sdf, which = torch.cat([sdf, lattice_sdf(geometry, axis)]), torch.cat([o, more])
            hull, thin = (at_lattice(v[which].float(), size, axis) for v in (self.hulls, self.thin_voxels))
            losses["hull"] = (
                t.hull * fade,
                hull_loss(sdf, hull / 255, hull / 255, thin, t.hull_sharpness, t.hull_thin),
            )
        self.optimizer.zero_grad()
        sum(weight * value for weight, value in losses.values()).backward()
        grads = [p.grad for p in self.g.parameters() if p.grad is not None]
        if torch.isfinite(torch.nn.utils.get_total_norm(grads)):
            self.optimizer.step()
        self.step_count, self.seen = self.step_count + 1, self.seen + len(pick)
        return {name: float(value.detach()) for name, (_, value) in losses.items()}

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        d = self.data
        masks, colors = [], []
        for start in range(0, 48, 16):
            o = torch.arange(start, start + 16)
            shapes = self.shapes(self.codes.mean[o])
            pick = d.held[o].flatten()
            drawn = draw_views(shapes, torch.arange(16).repeat_interleave(HELD), d.cameras(pick), 64)
            real = to_network(d.images[pick])
            masks.append((drawn.mask, real[:, 3:]))
            both = (drawn.covered & (real[:, 3:] > 0)).float()
            colors.append(((drawn.rgb - real[:, :3]).abs() * both).sum() / both.sum() / 3)
        numbers = mask_numbers(torch.cat([m for m, _ in masks]), torch.cat([r for _, r in masks]))
        numbers["held_l1"] = float(sum(colors) / len(colors))
        meshes, images = [], []
        for start in range(0, 128, 32):
            shapes = self.shapes(random_codes(self.trial.codes, self.codes, 32, 100 + start))
            drawn = draw_views(
                shapes, torch.arange(32), Cameras.sample(d.prior, 32, torch.Generator().manual_seed(start)), 64
            )
            images.append(drawn.rgb * (drawn.mask > 0) - 1.0 * (drawn.mask == 0))
            if start < 32:
                meshes += shapes.surfaces.meshes.split()
        numbers |= mesh_numbers(meshes)
        numbers["swd"] = sliced_wasserstein_distance(torch.cat(images), d.val[:, :3])
        return numbers

    @torch.no_grad()
    def image(self) -> None:
        d = self.data
        o = torch.arange(8)
        pick = d.held[o, 0]
        real = F.interpolate(to_network(d.images[pick])[:, :3], scale_factor=2)
        made = draw_views(self.shapes(self.codes.mean[o]), o, d.cameras(pick), 128).rgb
        code = random_codes(self.trial.codes, self.codes, 16, 1)
        cameras = Cameras.sample(d.prior, 16, torch.Generator().manual_seed(3))
        random = draw_views(self.shapes(code), torch.arange(16), cameras, 128).rgb
        # Swap grid: 4 geometries (rows) by 8 textures, all from one camera.
        g, x = code[:4, 0].repeat_interleave(8, 0), code[:8, 1].repeat(4, 1)
        orbit = Cameras.orbit(
            torch.full((32,), 0.7), torch.full((32,), 1.25), d.prior.radius, math.radians(d.prior.fov)
        )
        swap = draw_views(self.shapes(torch.stack([g, x], 1)), torch.arange(32), orbit, 128).rgb
        rows = [real, made, random[:8], random[8:]]
        save_rows(rows, self.trial.out / f"{self.spent / 60:05.1f}min.png")
        save_rows(list(swap.split(8)), self.trial.out / f"{self.spent / 60:05.1f}min_swap.png")

    def save(self) -> None:
        state = {
            "generator": self.g.state_dict(),
            "codes": self.codes.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "at": (self.step_count, self.seen, self.spent),
        }
        torch.save(state, self.trial.out / "last.tmp")
        (self.trial.out / "last.tmp").rename(self.trial.out / "last.pt")

    def load(self) -> None:
        state = torch.load(self.trial.out / "last.pt", weights_only=True)
        self.g.load_state_dict(state["generator"])
        self.codes.load_state_dict(state["codes"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step_count, self.seen, self.spent = state["at"]

    def report(self, sums: dict[str, float]) -> None:
        numbers = {"minutes": self.spent / 60, "kimg": self.seen / 1000, **sums, **self.measure()}
        self.image()
        self.save()
        line = json.dumps({k: round(v, 4) for k, v in numbers.items()})
        with (self.trial.out / "numbers.jsonl").open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)


def main(trial: Trial) -> None:
    torch.set_num_threads(1)
    trial.out.mkdir(parents=True, exist_ok=True)
    run = Run(trial)
    if trial.resume and (trial.out / "last.pt").exists():
        run.load()
    (trial.out / "trial.json").write_text(json.dumps(asdict(trial), default=str, indent=1))
    due, sums, count = run.spent + 60 * trial.every, {}, 0
    while run.spent < 60 * trial.minutes:
        start = time.process_time()
        for name, value in run.step().items():
            sums[name] = sums.get(name, 0.0) + value
        run.spent += time.process_time() - start
        count += 1
        if count % 100 == 0 or run.spent >= 60 * trial.minutes or run.spent > due:
            means = {name: value / count for name, value in sums.items()}
        if run.spent >= min(due, 60 * trial.minutes):
            run.report(means)
            due, sums, count = due + 60 * trial.every, {}, 0
    print("done", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Trial))
