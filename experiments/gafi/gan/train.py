"""Training of one GAN: the loop around the compiled step, with a state to go on from after any kill.

    trainer = GanTrainer(config.gan, config.COMPUTE, num_classes=10, channels=1, seed=42)
    train(trainer, dataset.x_train, dataset.y_train, folder=out, work=out / ".work")

An epoch is as many whole baskets as the pictures give, in an order drawn per epoch; latents and flips of a
step are functions of the seed and the step alone. So a killed run ends with the same bytes as one that was
not, and training 2 epochs and then 2 more is training 4. The bytes depend on the number of threads and on
the machine.

Not covered: several GPUs; equal bytes on a GPU.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from keras import ops

from experiments.gafi.config import is_kept, precision_of
from experiments.gafi.config_ours import ComputeSection
from experiments.gafi.config_sections import GanScript
from experiments.gafi.gan import resume
from experiments.gafi.gan.checkpoints import FOLDER, CheckpointIndex, CheckpointWriter
from experiments.gafi.gan.samples import draw_sheet, sheet_latents, sheet_path, write_animation
from experiments.gafi.gan.step import LOSS_NAMES, GanState, GanStep, Networks, basket_size, initial_state
from experiments.gafi.nn.backend import make_key
from experiments.gafi.nn.discriminator import build_discriminator
from experiments.gafi.nn.generator import build_generator
from experiments.gafi.nn.state import apply, to_arrays
from suite.config import to_tree
from suite.errors import BadInput, Stopped
from suite.manifest import write_json
from suite.seeds import item_rng
from suite.tables import csv_text

LAST_EPOCH, IMAGES, STATE = "last_epoch", "images", "state.npz"
HISTORY, CONFIG, ANIMATION, SHEET = "history.csv", "config.json", "images.gif", "samples.png"
CHECK_EVERY = 20  # steps between two looks at the losses: a GPU need not wait for the host at each
FIXED_SEED = 0  # of fixed_seed; the published code sets this one, whatever RUN.seed is


class Meter(Protocol):
    """Further columns of history.csv: `meter(epoch, state) -> {name: value}`, called after an epoch."""

    def __call__(self, epoch: int, state: GanState) -> Mapping[str, float | None]: ...


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What the caller is told and asked; by default nothing happens."""

    check_stop: Callable[[], None] = lambda: None  # raises Stopped
    progress: Callable[..., AbstractContextManager] = lambda total, name, done: nullcontext()
    event: Callable[..., None] = lambda name, **facts: None
    meter: Meter | None = None


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a call of `train` did. The last three depend on the clock."""

    epochs: int  # finished, earlier calls included
    steps: int
    rows: list[dict[str, Any]] = field(default_factory=list)  # of history.csv
    first_step_seconds: float | None = None  # compilation included
    step_seconds: float | None = None  # mean of the further steps of this call
    images_per_second: float | None = None  # real pictures, each counted once per step


class GanTrainer:
    """Networks and compiled step of one architecture."""

    def __init__(
        self,
        script: GanScript,
        compute: ComputeSection,
        *,
        num_classes: int,
        channels: int,
        seed: int,
    ) -> None:
        """seed: of this GAN (config.gan_seed); decides initial weights, order, latents and flips."""
        self.script, self.compute, self.seed = script, compute, seed
        self.channels, self.image_size = channels, script.DATA.image_size
        precision = precision_of(script.RUN, compute)
        common = {
            "num_classes": num_classes, "channels": channels, "image_size": self.image_size, "seed": seed,
            "init_sharing": compute.init_sharing, "sn_stop_gradient": compute.sn_stop_gradient,
            "precision": precision,
        }  # fmt: skip
        self.networks = Networks(
            generator=build_generator(script.MODEL, normalize=script.DATA.normalize, **common),
            discriminator=build_discriminator(script.MODEL, **common),
            num_classes=num_classes,
        )
        half = precision == "mixed_float16"
        self.step = GanStep(self.networks, script, xla=compute.xla_gan, half=half)

    def initial(self) -> GanState:
        """The state before the first step."""
        return initial_state(self.networks, self.script)

    def keys(self, step: int, step_of_epoch: int) -> np.ndarray:
        """(2, 2) int32: keys of latents and flips of a step, both counted from 0.

        fixed_seed: the latents are those of the same step of every epoch, whatever the seed (published
        default).
        """
        latents = (self.seed, step)
        if self.script.RUN.fixed_seed:
            latents = (FIXED_SEED, step_of_epoch)
        return np.stack(
            [
                make_key(latents[0], "gafi.gan.latents", latents[1]),
                make_key(self.seed, "gafi.gan.flips", step),
            ]
        )

    def order(self, epoch: int, num_images: int) -> np.ndarray:
        """(N,) int32: the pictures of an epoch (from 0) in their order."""
        return item_rng(self.seed, "gafi.gan.order", epoch).permutation(num_images).astype(np.int32)


def steps_per_epoch(script: GanScript, num_images: int) -> int:
    """Whole baskets, and with `drop_remainder: false` the partial one. Raises BadInput for none."""
    basket = basket_size(script)
    steps = num_images // basket if script.DATA.drop_remainder else -(-num_images // basket)
    if steps == 0:
        raise BadInput(
            f"{num_images} training pictures are less than a step's {basket}",
            fix="lower OPTIMIZATION.batch_size, or raise SUBSET.train",
        )
    return steps


def num_steps(script: GanScript, num_images: int) -> int:
    """Steps of the whole training: `epochs`, or `total_steps` where epochs is null."""
    settings = script.OPTIMIZATION
    if settings.epochs is None:
        return settings.total_steps
    return settings.epochs * steps_per_epoch(script, num_images)


def train(
    trainer: GanTrainer,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    folder: Path,
    work: Path,
    hooks: Hooks | None = None,
) -> TrainResult:
    """Train to the end, or go on where `work` says that an earlier call was stopped.

    images: (N, H, W, C) float32; labels: (N,) integers. folder: of the run; gets `checkpoints/`,
    `last_epoch/` and, with `keep_images`, `images/`. work: for the state to go on from; to be removed by
    the caller at the end. `RUN.reload` goes on from `folder/last_epoch`, which is kept as
    `backup_epoch_<N>`. Raises Stopped (the state is saved), BadInput where a loss is not finite.
    """
    return _Run(trainer, images, labels, folder=folder, work=work, hooks=hooks or Hooks()).run()


class _Run:
    """One call of `train`."""

    def __init__(
        self,
        trainer: GanTrainer,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        folder: Path,
        work: Path,
        hooks: Hooks,
    ) -> None:
        self.trainer, self.script, self.hooks = trainer, trainer.script, hooks
        self.folder, self.work = folder, work
        self.num_images = len(labels)
        self.per_epoch = steps_per_epoch(self.script, self.num_images)
        self.last_step = num_steps(self.script, self.num_images)
        self.last_epoch = -(-self.last_step // self.per_epoch)
        self.images = ops.convert_to_tensor(images, "float32")
        self.labels = ops.convert_to_tensor(labels, "int32")
        self.pending: list[Any] = []  # losses that the host has not looked at
        self.seconds: list[float] = []
        self.sheet = sheet_latents(
            trainer.seed,
            num_classes=trainer.networks.num_classes,
            latent_dim=self.script.MODEL.latent_dim,
        )

    def run(self) -> TrainResult:
        self._begin()
        with self.hooks.progress(self.last_step, "GAN steps", done=self.done) as bar:
            while self.done < self.last_step:
                self._epoch(bar)
        self._finish()
        return self._result()

    # -- where to go on -------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Set state, journal and `done`; put the index of checkpoints back to that point."""
        networks, initial = self.trainer.networks, self.trainer.initial()
        self.state, self.journal = initial, resume.Journal()
        self.work.mkdir(parents=True, exist_ok=True)
        path, last = self.work / STATE, self.folder / LAST_EPOCH
        reloads = False
        if path.is_file():
            self.state, self.journal = resume.load_state(path, networks, initial)
        elif self.script.RUN.reload:
            self.state, self.journal = resume.load_last_epoch(last, networks, initial)
            reloads = True
        self.done = int(ops.convert_to_numpy(self.state.step))
        if reloads:
            self._check_reload(last)
            self._save_state()
            _move(last, self.folder / f"backup_epoch_{len(self.journal.rows)}")
        self.writer = CheckpointWriter(self._empty_index())
        self.writer.restore(len(self.journal.rows))

    def _check_reload(self, last: Path) -> None:
        """What was trained before must be whole epochs of this length, and shorter than what is asked for."""
        if self.done != len(self.journal.rows) * self.per_epoch:
            raise BadInput(
                f"its {len(self.journal.rows)} epochs have {self.done} steps, not {self.per_epoch} each",
                file=last,
                fix="reload with the pictures and the batch size that it was trained with",
            )
        if self.done >= self.last_step:
            fix = "raise OPTIMIZATION.epochs"
            raise BadInput(f"{len(self.journal.rows)} epochs are trained already", file=last, fix=fix)

    def _empty_index(self) -> CheckpointIndex:
        trainer = self.trainer
        return CheckpointIndex(
            folder=self.folder / FOLDER, seed=trainer.seed, num_classes=trainer.networks.num_classes,
            channels=trainer.channels, image_size=trainer.image_size,
            normalize=self.script.DATA.normalize, model=to_tree(self.script.MODEL),
        )  # fmt: skip

    # -- an epoch -------------------------------------------------------------------------------------

    def _epoch(self, bar: Any) -> None:
        """The rest of the running epoch, and what follows it if it is over."""
        epoch, first = divmod(self.done, self.per_epoch)
        last = min(self.per_epoch, self.last_step - epoch * self.per_epoch)
        order, basket = self.trainer.order(epoch, self.num_images), basket_size(self.script)
        for number in range(first, last):
            self._step(order[number * basket : (number + 1) * basket], number)
            if bar is not None:
                bar.advance()
            ended = number == last - 1
            if len(self.pending) >= CHECK_EVERY or ended:
                self._look()
            if ended:
                self._end_epoch(epoch + 1)
            if ended or self.done % self.trainer.compute.checkpoint_every == 0:
                self._save_state()
            self._check_stop(saved=ended)

    def _step(self, index: np.ndarray, number: int) -> None:
        begin = time.monotonic()
        keys = self.trainer.keys(self.done, number)
        self.state, losses = self.trainer.step(self.state, self.images, self.labels, index, keys)
        self.pending.append(losses)
        self.done += 1
        self.seconds.append(time.monotonic() - begin)

    def _look(self) -> None:
        """Fetch the losses of the last steps. Raises BadInput at the first that is not finite."""
        begin = time.monotonic()
        found = np.array([ops.convert_to_numpy(losses) for losses in self.pending], np.float64)
        if self.pending:
            self.seconds[-1] += time.monotonic() - begin  # a GPU computes until here
        first = self.done - len(self.pending) + 1
        self.pending = []
        for step, row in enumerate(found, first):
            if not np.isfinite(row).all():
                shown = ", ".join(f"{name} {value:g}" for name, value in zip(LOSS_NAMES, row, strict=True))
                raise BadInput(
                    f"training came apart at step {step}: {shown}",
                    fix="lower OPTIMIZATION.g_lr and d_lr, or train in float32",
                )
        self.journal.losses += found.tolist()

    def _check_stop(self, *, saved: bool) -> None:
        try:
            self.hooks.check_stop()
        except Stopped:
            if not saved:
                self._save_state()
            raise

    def _save_state(self) -> None:
        self._look()
        resume.save_state(self.work / STATE, self.trainer.networks, self.state, self.journal)

    def _end_epoch(self, epoch: int) -> None:
        """Row of the history, sheet of samples, checkpoint. The state that is saved next makes them count."""
        settings, means = self.script.OPTIMIZATION, np.mean(self.journal.losses, axis=0)
        row: dict[str, Any] = {"epoch": epoch, **dict(zip(LOSS_NAMES, means.tolist(), strict=True))}
        row |= {"lr_g": settings.g_lr, "lr_d": settings.d_lr, "steps": self.done}
        if self.hooks.meter is not None:
            row |= self.hooks.meter(epoch, self.state)
        self.journal.rows.append(row)
        self.journal.losses = []
        self._draw(epoch)
        if is_kept(epoch, epochs=self.last_epoch, keep_every=self.trainer.compute.keep_every):
            self._keep(epoch)
        shown = {name: f"{row[name]:.4g}" for name in LOSS_NAMES}
        self.hooks.event("epoch", epoch=f"{epoch}/{self.last_epoch}", **shown)

    def _keep(self, epoch: int) -> None:
        networks, state = self.trainer.networks, self.state
        stem = "ema_generator" if self.script.MODEL.apply_g_ema else "generator"
        self.writer.add(epoch, self.done, to_arrays(networks.generator, state.sampler), stem=stem)
        if self.script.OPTIMIZATION.save_optimizer_ckpt:
            path = self.folder / FOLDER / f"training_epoch{epoch:03d}.npz"
            resume.save_state(path, networks, state, self.journal)

    def _draw(self, epoch: int) -> None:
        run = self.script.RUN
        made, _ = apply(self.trainer.networks.generator, self.state.sampler, self.sheet, training=False)
        title = f"{run.plot_title} epoch {epoch}".strip() if run.plot_with_title else ""
        sheet = draw_sheet(ops.convert_to_numpy(made), normalize=self.script.DATA.normalize, title=title)
        path = sheet_path(self.folder / IMAGES, epoch)
        path.parent.mkdir(exist_ok=True)
        sheet.save(path)

    # -- the end --------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """The folder `last_epoch`; the single sheets go unless they are to be kept."""
        last, images = self.folder / LAST_EPOCH, self.folder / IMAGES
        last.mkdir(exist_ok=True)
        if self.script.RUN.save:
            optimizer = self.script.OPTIMIZATION.save_optimizer
            resume.save_last_epoch(last, self.trainer.networks, self.state, self.journal, optimizer=optimizer)
        columns = list(dict.fromkeys(name for row in self.journal.rows for name in row))  # of a meter, later
        rows = [{name: row.get(name) for name in columns} for row in self.journal.rows]
        (last / HISTORY).write_text(csv_text(rows), encoding="utf-8")
        write_json(last / CONFIG, to_tree(self.script))
        # A run that went on from an earlier one has the sheets of its own epochs only, as the published code.
        epochs = range(1, len(self.journal.rows) + 1)
        sheets = [path for path in (sheet_path(images, epoch) for epoch in epochs) if path.is_file()]
        if sheets:
            write_animation(sheets, last / ANIMATION)
            shutil.copyfile(sheets[-1], last / SHEET)
        if not self.script.RUN.keep_images and images.is_dir():
            shutil.rmtree(images)

    def _result(self) -> TrainResult:
        later = self.seconds[1:]
        mean = sum(later) / len(later) if later else None
        return TrainResult(
            epochs=len(self.journal.rows), steps=self.done, rows=self.journal.rows,
            first_step_seconds=self.seconds[0] if self.seconds else None, step_seconds=mean,
            images_per_second=basket_size(self.script) / mean if mean else None,
        )  # fmt: skip


def _move(source: Path, target: Path) -> None:
    if target.exists():
        shutil.rmtree(target)
    source.rename(target)
