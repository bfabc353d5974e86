"""The stages on a dozen pictures of mini-coco, and a trainer on them, for tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from experiments.dense_detector.cli import main
from experiments.dense_detector.config import DenseConfig
from experiments.dense_detector.db import import_coco
from experiments.dense_detector.splits import Subset, read_split
from experiments.dense_detector.train import Trainer
from suite.config import load_config
from suite.errors import EXIT_OK
from tests.dense_detector.mini_coco import make_mini_coco

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "experiments/dense_detector/configs/tiny.yaml"
INPUTS = {
    "import": (),
    "verify": ("import",),
    "train": ("import", "verify"),
    "eval": ("import", "verify", "train"),
    "report": ("import", "verify", "train", "eval"),
    "compare": ("import", "verify"),
    "compare-table": ("import", "verify", "compare"),
}


def make_sets(folder: Path) -> Path:
    """train, val and test of mini-coco: 12, 6 and 6 pictures with ids of their own."""
    for seed, (split, number, first_id) in enumerate((("train", 12, 1), ("val", 6, 101), ("test", 6, 201))):
        make_mini_coco(folder / split, num_images=number, seed=seed, first_id=first_id)
    return folder


@dataclass(frozen=True)
class Chain:
    """Stages over `sets`, results in `folder`; `extra`: overrides of the tiny config."""

    sets: Path
    folder: Path
    extra: tuple[str, ...] = ()

    @property
    def overrides(self) -> tuple[str, ...]:
        """The tiny config on these sets."""
        files = []
        for split in ("train", "val", "test"):
            place = self.sets / split
            files += [f"data.{split}_json={place}/annotations.json", f"data.{split}_images={place}/images"]
        return ("data.source=coco", *files, *self.extra)

    @property
    def config(self) -> DenseConfig:
        """The resolved config."""
        return load_config(DenseConfig, TINY, list(self.overrides))

    def words(self, verb: str, *more: str) -> list[str]:
        """Arguments of a stage."""
        inputs = [word for name in INPUTS[verb] for word in (f"--{name}", str(self.folder / name))]
        settings = [word for text in self.overrides for word in ("-o", text)]
        out = ["--out", str(self.folder / verb)]
        return [verb, "--config", str(TINY), *settings, *inputs, *out, *more]

    def must(self, *verbs: str) -> None:
        """Run stages in this process; each must end well."""
        for verb in verbs:
            assert main(self.words(verb)) == EXIT_OK, verb


def subsets(folder: Path, config: DenseConfig, sets: Path) -> tuple[Subset, Subset]:
    """Training and validation pictures, from databases written into `folder`."""
    found = []
    for split in ("train", "val"):
        database = folder / f"{split}.db"
        if not database.exists():
            import_coco(database, sets / split / "annotations.json", split=split)
        images_dir = sets / split / "images"
        found.append(read_split(config.data, database, split, images_dir, keep_empty=split == "val"))
    return found[0], found[1]


def make_trainer(chain: Chain, out: Path, **options: object) -> Trainer:
    """A trainer of the tiny config in the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    sets = subsets(out, chain.config, chain.sets)
    return Trainer(chain.config, *sets, out=out, **{"seed": 0, **options})  # type: ignore[arg-type]
