"""Training of ReDO: mask network, region generators, discriminator and latent regressor together.

    trainer = RedoTrainer(config.redo, seed=42)
    result = train(trainer, pictures, folder=out, work=out / ".work")

A step redraws each region of a batch from its mask and a latent; the generators and the mask network learn
to deceive the discriminator, the regressor to find the latents again; then the discriminator learns from a
second batch of real pictures against the same composites. What is drawn is a function of seed, attempt and
step, so a killed training ends in the same weights as one that was not (CPU; same machine and threads).

Writes `mask.safetensors` (the last mask network), `masks/<step>.safetensors` (that of every checkpoint: the
paper's training grows unstable when it lasts, and its authors chose between 20,000 and 40,000 steps) and
`history.csv`. Counted for the published widths, 128 pixels and batches of 20: 139 million parameters, so 2.2
GB for weights, gradients and Adam's moments besides the maps; a checkpoint of 1.7 GB; 2.5e12 products a step,
1.3e11 per picture of a batch (4 % more with attention). That wants a GPU.

Not covered: several GPUs; equal bytes on a GPU.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.sample_synthesis.config_sections import RedoConfig
from experiments.sample_synthesis.redo import data, losses
from experiments.sample_synthesis.redo.evaluate import score
from experiments.sample_synthesis.redo.masks import MASK, RedoMasks, save_mask_net
from experiments.sample_synthesis.redo.networks import (
    Architecture,
    Discriminator,
    Generators,
    LatentRegressor,
    MaskNet,
    build,
)
from suite.errors import BadInput, Stopped
from suite.seeds import item_rng
from suite.tables import csv_text

MASKS, HISTORY, STATE = "masks", "history.csv", "state.pt"
BETAS = (0.0, 0.9)
INITIAL = "redo.initial"
LOSS_NAMES = ("generator", "latents", "discriminator")
NETWORKS = {"mask": MaskNet, "generators": Generators, "discriminator": Discriminator,
            "regressor": LatentRegressor}  # fmt: skip
PROBES = 64  # training pictures, and as many of those held out, that the restart rule looks at


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What the caller is told and asked; by default nothing happens."""

    check_stop: Callable[[], None] = lambda: None  # raises Stopped
    progress: Callable[..., AbstractContextManager] = lambda total, done=0: nullcontext()
    event: Callable[..., None] = lambda name, **facts: None
    warn: Callable[[str], None] = lambda text: None


@dataclass(kw_only=True)
class Journal:
    """What was logged so far; part of the checkpoint."""

    rows: list[dict[str, Any]] = field(default_factory=list)  # of history.csv
    window: list[list[float]] = field(default_factory=list)  # LOSS_NAMES of the steps since the last row


@dataclass(frozen=True, kw_only=True)
class RedoResult:
    """What `train` did."""

    steps: int
    restarts: int
    collapsed: bool  # the last attempt met the restart rule, too
    rows: list[dict[str, Any]]


def architecture_of(settings: RedoConfig) -> Architecture:
    """All four networks have the width `nf`; `attention` is that of generators and discriminator."""
    return Architecture(
        size=settings.size, latent=settings.latent, nf_mask=settings.nf, nf_generator=settings.nf,
        nf_discriminator=settings.nf, nf_regressor=settings.nf,
        generator_attention=settings.attention, discriminator_attention=settings.attention,
    )  # fmt: skip


class RedoTrainer:
    """The four networks, their optimisers and the step over them."""

    def __init__(
        self,
        settings: RedoConfig,
        *,
        seed: int,
        device: str = "cpu",
        architecture: Architecture | None = None,
    ) -> None:
        """architecture: other widths than `nf` for all (the paper narrows the generators for flowers)."""
        self.settings, self.seed, self.device = settings, seed, torch.device(device)
        self.architecture = architecture or architecture_of(settings)
        self.begin(attempt=0)

    def begin(self, *, attempt: int) -> None:
        """Fresh networks and optimisers of an attempt; step 0."""
        self.attempt, self.steps = attempt, 0
        numbers = item_rng(self.seed, INITIAL, attempt).integers(0, 2**31, size=len(NETWORKS))
        self.networks = {
            name: build(kind, self.architecture, seed=int(number)).to(self.device).train()
            for (name, kind), number in zip(NETWORKS.items(), numbers, strict=True)
        }
        lr, lr_mask = self.settings.lr, self.settings.lr_mask
        self.optimizers = {
            name: torch.optim.Adam(
                network.parameters(), lr=lr_mask if name == "mask" else lr, betas=BETAS,
                weight_decay=self.settings.weight_decay_mask if name == "mask" else 0.0,
            )
            for name, network in self.networks.items()
        }  # fmt: skip

    def step(self, pictures: np.ndarray, rows: np.ndarray) -> list[float]:
        """Step number `self.steps` on pictures uint8 (n, S, S, 3), of which `rows` are for training.

        Returns the losses, as LOSS_NAMES; raises BadInput where one is not finite.
        """
        batch, where = self.settings.batch, {"seed": self.seed, "attempt": self.attempt}
        redrawn, compared = (
            data.to_input(
                pictures[data.rows_of_step(self.steps, rows=rows, batch=batch, stream=stream, **where)]
            ).to(self.device)
            for stream in (data.REDRAWN, data.COMPARED)
        )
        latents = data.latents_of_step(self.steps, batch=batch, latent=self.architecture.latent, **where)
        latents = latents.to(self.device)
        adversarial, regressed, fake = self._redraw(redrawn, latents)
        judged = self._judge(compared, fake)
        values = torch.stack([adversarial, regressed, judged]).tolist()
        if not np.isfinite(values).all():
            told = ", ".join(f"{name} {value}" for name, value in zip(LOSS_NAMES, values, strict=True))
            raise BadInput(f"ReDO's losses at step {self.steps} are {told}", fix="lower redo.lr")
        self.steps += 1
        return values

    def _redraw(self, pictures: Tensor, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Update all but the discriminator; returns both losses and the composites."""
        nets = self.networks
        nets["discriminator"].requires_grad_(False)
        masks = nets["mask"](pictures)
        drawn = nets["generators"](masks, latents)
        fake = losses.composites(pictures, masks, drawn)
        adversarial = losses.generator_loss(nets["discriminator"](fake))
        weight = self.settings.latent_weight
        regressed = losses.latent_loss(nets["regressor"](drawn.sum(1)), latents, weight=weight)
        self._update(adversarial + regressed, "mask", "generators", "regressor")
        nets["discriminator"].requires_grad_(True)
        return adversarial.detach(), regressed.detach(), fake.detach()

    def _judge(self, real: Tensor, fake: Tensor) -> Tensor:
        """Update the discriminator; returns its loss."""
        discriminator = self.networks["discriminator"]
        loss = losses.discriminator_loss(discriminator(real), discriminator(fake))
        self._update(loss, "discriminator")
        return loss.detach()

    def _update(self, loss: Tensor, *names: str) -> None:
        for name in names:
            self.optimizers[name].zero_grad(set_to_none=True)
        loss.backward()
        for name in names:
            self.optimizers[name].step()

    def masks(self, pictures: np.ndarray) -> np.ndarray:
        """Soft masks float32 (n, S, S) of region 0 by the mask network as it is."""
        network = self.networks["mask"]
        provider = RedoMasks.from_network(network, device=str(self.device), batch=self.settings.batch)
        masks = provider.masks(pictures)
        network.train()
        return masks

    def state(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {
            "steps": self.steps, "attempt": self.attempt,
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
        }  # fmt: skip

    def load(self, state: dict[str, Any], where: Path) -> None:
        """Undo of `state`. Raises BadInput for a state of other settings."""
        try:
            self.steps, self.attempt = state["steps"], state["attempt"]
            for name in NETWORKS:
                self.networks[name].load_state_dict(state["networks"][name])
                self.optimizers[name].load_state_dict(state["optimizers"][name])
        except (KeyError, RuntimeError, ValueError):
            raise BadInput(
                "a checkpoint of other settings", file=where, fix="delete it to begin anew"
            ) from None


# -- the loop ---------------------------------------------------------------------------------------------


def train(
    trainer: RedoTrainer,
    pictures: np.ndarray,
    *,
    folder: Path,
    work: Path,
    truth: np.ndarray | None = None,
    hooks: Hooks | None = None,
) -> RedoResult:
    """Train for `steps` steps, or go on from the checkpoint in `work`.

    pictures: uint8 (n, S, S, 3); a tenth is held out. truth: true masks (n, S, S), above 0 on the object; of
    the held out ones the history then has accuracy and IoU. No other use is made of them. Raises Stopped by
    way of `hooks.check_stop` when the state is on the disk, BadInput for pictures of another size.
    """
    return _Training(trainer, pictures, truth, folder=folder, work=work, hooks=hooks or Hooks()).run()


class _Training:
    """One call of `train`."""

    def __init__(self, trainer: RedoTrainer, pictures: np.ndarray, truth: np.ndarray | None, *,
                 folder: Path, work: Path, hooks: Hooks) -> None:  # fmt: skip
        side = trainer.settings.size
        if pictures.shape[1:] != (side, side, 3) or pictures.dtype != np.uint8:
            raise BadInput(f"ReDO learns from uint8 pictures of {side} x {side} x 3, not {pictures.dtype}"
                           f" {pictures.shape[1:]}", fix="set redo.size and source.size alike")  # fmt: skip
        self.trainer, self.pictures, self.truth = trainer, pictures, truth
        self.folder, self.path, self.hooks = folder, work / STATE, hooks
        self.split = data.split(len(pictures), seed=trainer.seed)
        self.journal, self.collapsed = Journal(), False

    def run(self) -> RedoResult:
        trainer, settings, rows = self.trainer, self.trainer.settings, self.split.train
        self._resume()
        with self.hooks.progress(settings.steps, done=trainer.steps) as bar:
            while trainer.steps < settings.steps:
                self._check_stop()
                self.journal.window.append(trainer.step(self.pictures, rows))
                if bar is not None:
                    bar.advance()
                if trainer.steps % settings.checkpoint_every == 0 or trainer.steps == settings.steps:
                    self._checkpoint()
        save_mask_net(self.folder / MASK, trainer.networks["mask"], trainer.architecture)
        return RedoResult(steps=trainer.steps, restarts=trainer.attempt, collapsed=self.collapsed,
                          rows=self.journal.rows)  # fmt: skip

    def _check_stop(self) -> None:
        try:
            self.hooks.check_stop()
        except Stopped:
            self._save()
            raise

    def _checkpoint(self) -> None:
        """A row of the history, the mask network; a new attempt where the restart rule says so."""
        trainer, settings = self.trainer, self.trainer.settings
        row = self._row()
        self.journal.rows.append(row)
        self.journal.window.clear()
        self.hooks.event("trained", **{name: row[name] for name in ("step", "attempt", *LOSS_NAMES)},
                         smaller_share=row["smaller_share_held_out"])  # fmt: skip
        shares = row["smaller_share_train"], row["smaller_share_held_out"]
        # Published: before iteration 7,000, and on training and validation pictures alike.
        self.collapsed = max(shares) < settings.restart_below
        if self.collapsed and trainer.steps < settings.restart_before:
            if trainer.attempt < settings.max_restarts:
                self._restart()
                return
            self.hooks.warn(f"one region holds nearly the whole picture after {trainer.attempt} restarts")
        (self.folder / MASKS).mkdir(exist_ok=True)
        name = f"{trainer.steps:06d}.safetensors"
        save_mask_net(self.folder / MASKS / name, trainer.networks["mask"], trainer.architecture)
        self._save()

    def _restart(self) -> None:
        attempt = self.trainer.attempt + 1
        self.hooks.event("restarted", attempt=attempt, after=self.trainer.steps)
        shutil.rmtree(self.folder / MASKS, ignore_errors=True)
        self.trainer.begin(attempt=attempt)
        self._save()

    def _row(self) -> dict[str, Any]:
        trainer, split = self.trainer, self.split
        means = np.mean(self.journal.window, 0).tolist()
        row: dict[str, Any] = {"attempt": trainer.attempt, "step": trainer.steps}
        row |= dict(zip(LOSS_NAMES, means, strict=True))
        held_out = trainer.masks(self.pictures[split.held_out])
        row["smaller_share_train"] = losses.smaller_share(trainer.masks(self.pictures[split.train[:PROBES]]))
        row["smaller_share_held_out"] = losses.smaller_share(held_out[:PROBES])
        if self.truth is not None:
            row |= score(held_out, self.truth[split.held_out]).tree()
        return row

    def _save(self) -> None:
        """State and history; the file is whole or absent."""
        journal = json.dumps({"rows": self.journal.rows, "window": self.journal.window})
        state = self.trainer.state() | {"journal": journal, "collapsed": self.collapsed}
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as stream:
                torch.save(state, stream)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)
        (self.folder / HISTORY).write_text(csv_text(self.journal.rows), encoding="utf-8")

    def _resume(self) -> None:
        if not self.path.exists():
            return
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            journal = json.loads(state["journal"])
            self.collapsed = state["collapsed"]
        except (RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile, EOFError, ValueError, KeyError):
            raise BadInput("no readable checkpoint", file=self.path, fix="delete it to begin anew") from None
        self.trainer.load(state, self.path)
        self.journal = Journal(**journal)
        self.hooks.event("resumed", step=self.trainer.steps, attempt=self.trainer.attempt)
