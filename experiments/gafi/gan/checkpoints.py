"""Generators on the disk: one `.npz` per kept epoch, listed by an index with digests; never found by a glob.

A run folder (a shard of `train-gan`, or the folder of a run by hand) holds

    checkpoints/index.json                  what is there: epoch, step, file, bytes, SHA-256; the architecture
    checkpoints/ema_generator_epoch001.npz  the generator after epoch 1: weights, moving statistics, vectors u

Names and 1-based epochs are those of the published code. The index is written after the file that it lists,
both atomically, so a kill leaves an index whose files are all whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.config import to_tree
from suite.errors import BadInput
from suite.manifest import file_digest, read_json, write_json

if TYPE_CHECKING:
    import keras
    import numpy as np

    from experiments.gafi.config import GanScript
    from experiments.gafi.nn.state import ModelState

FOLDER, INDEX = "checkpoints", "index.json"
SCHEMA = 1
SHAPING = (  # keys of MODEL that decide the generator; the others are of the discriminator and of EMA
    "name", "studiogan", "hier", "latent_dim", "shared_dim", "g_conv_dim", "g_depth", "apply_g_attn",
    "residual_concat",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One generator on the disk."""

    epoch: int  # 1-based
    step: int  # optimisation steps done by then
    file: str  # name in the folder `checkpoints`
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class CheckpointIndex:
    """The generators of one GAN, by rising epoch, and what is to know to build the network."""

    folder: Path  # `<run>/checkpoints`
    seed: int  # effective seed of the GAN
    num_classes: int
    channels: int
    image_size: int
    normalize: bool  # images in [-1, 1] (tanh) rather than [0, 1] (sigmoid)
    model: dict[str, Any]  # section MODEL of its settings
    checkpoints: tuple[Checkpoint, ...] = ()

    @property
    def epochs(self) -> tuple[int, ...]:
        return tuple(row.epoch for row in self.checkpoints)

    def find(self, epoch: int) -> Checkpoint:
        """The generator after `epoch`. Raises BadInput that names the nearest epochs kept."""
        for row in self.checkpoints:
            if row.epoch == epoch:
                return row
        near = sorted(sorted(self.epochs, key=lambda kept: abs(kept - epoch))[:3])
        kept = f"the nearest are {', '.join(map(str, near))}" if near else "none is there yet"
        raise BadInput(f"no checkpoint of epoch {epoch}", file=self.folder / INDEX, fix=kept)


@dataclass(frozen=True, kw_only=True)
class LoadedGenerator:
    """A generator with the weights of one epoch, for `nn.state.apply`."""

    model: keras.Model  # the architecture; the values of its own variables mean nothing
    state: ModelState
    checkpoint: Checkpoint
    index: CheckpointIndex

    @property
    def digest(self) -> str:
        """SHA-256 of the file, hex: what a ledger names the generator by."""
        return self.checkpoint.sha256


def list_checkpoints(folder: Path) -> CheckpointIndex:
    """The index of a run folder. Raises BadInput where there is none, or a file of it is gone or cut."""
    path = folder / FOLDER / INDEX
    tree = read_json(path)
    if not isinstance(tree, dict) or tree.get("schema") != SCHEMA:
        fix = "run train-gan first, or check the path"
        raise BadInput("no readable index of checkpoints", file=path, fix=fix)
    fields = {name: value for name, value in tree.items() if name not in ("schema", "checkpoints")}
    try:
        rows = tuple(Checkpoint(**row) for row in tree["checkpoints"])
        index = CheckpointIndex(folder=path.parent, checkpoints=rows, **fields)
    except (KeyError, TypeError):
        raise BadInput("a damaged index of checkpoints", file=path, fix="train this GAN again") from None
    for row in rows:
        _check_size(index.folder / row.file, row)
    return index


def load_generator(
    folder: Path, epoch: int, script: GanScript, *, generator: keras.Model | None = None
) -> LoadedGenerator:
    """The generator of a run folder after `epoch`, in float32.

    script: settings whose MODEL must be that of the checkpoint. generator: a network built before (by this
    function or `build_of`), so that many epochs share one network and what was compiled for it. Raises
    BadInput for an epoch that was not kept, a file whose digest is not the listed one, and a checkpoint of
    another architecture.
    """
    from experiments.gafi.nn.state import from_arrays, load_arrays

    index = list_checkpoints(folder)
    row = index.find(epoch)
    path = index.folder / row.file
    _check_model(index, script)
    if file_digest(path) != row.sha256:
        raise BadInput("is not the file that the index lists", file=path, fix="train this GAN again")
    generator = build_of(index, script) if generator is None else generator
    state = from_arrays(generator, load_arrays(path), where=path)
    return LoadedGenerator(model=generator, state=state, checkpoint=row, index=index)


def build_of(index: CheckpointIndex, script: GanScript) -> keras.Model:
    """The generator's network, with initial weights."""
    from experiments.gafi.nn.generator import build_generator

    return build_generator(
        script.MODEL, num_classes=index.num_classes, channels=index.channels, image_size=index.image_size,
        seed=index.seed, normalize=index.normalize,
    )  # fmt: skip


class CheckpointWriter:
    """Adds generators to the index of a run folder."""

    def __init__(self, empty: CheckpointIndex) -> None:
        """empty: the index to begin with, without checkpoints."""
        self.index = empty
        empty.folder.mkdir(parents=True, exist_ok=True)

    def restore(self, epoch: int) -> None:
        """Go on after `epoch`: what is listed beyond it is removed, and will be written again."""
        rows = ()
        if (self.index.folder / INDEX).is_file():
            rows = list_checkpoints(self.index.folder.parent).checkpoints
        self._write(tuple(row for row in rows if row.epoch <= epoch))
        for row in rows:
            if row.epoch > epoch:
                (self.index.folder / row.file).unlink()

    def add(self, epoch: int, step: int, arrays: Mapping[str, np.ndarray], *, stem: str) -> Checkpoint:
        """Write `<stem>_epoch%03d.npz` and list it; an earlier file of that epoch is replaced."""
        from experiments.gafi.nn.state import save_arrays

        name = f"{stem}_epoch{epoch:03d}.npz"
        path = self.index.folder / name
        save_arrays(path, arrays)
        row = Checkpoint(
            epoch=epoch, step=step, file=name, bytes=path.stat().st_size, sha256=file_digest(path)
        )
        others = [kept for kept in self.index.checkpoints if kept.epoch != epoch]
        self._write(tuple(sorted([*others, row], key=lambda kept: kept.epoch)))
        return row

    def _write(self, rows: tuple[Checkpoint, ...]) -> None:
        self.index = CheckpointIndex(**{**vars(self.index), "checkpoints": rows})
        tree = {**vars(self.index), "schema": SCHEMA, "checkpoints": [asdict(row) for row in rows]}
        del tree["folder"]
        write_json(self.index.folder / INDEX, to_tree(tree))


def _check_size(path: Path, row: Checkpoint) -> None:
    fix = "train this GAN again"
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise BadInput("checkpoint is gone", file=path, fix=fix) from None
    if size != row.bytes:
        raise BadInput(f"checkpoint has {size} bytes, not {row.bytes}", file=path, fix=fix)


def _check_model(index: CheckpointIndex, script: GanScript) -> None:
    """The settings that decide the generator's shape must be those of the checkpoint."""
    wanted = to_tree(script.MODEL)
    for name in SHAPING:
        found, want = index.model[name], wanted[name]
        if found != want:
            raise BadInput(
                f"checkpoint of another architecture: MODEL.{name} is {found}, not {want}",
                file=index.folder / INDEX,
                fix="give the settings that it was trained with, or train again",
            )
