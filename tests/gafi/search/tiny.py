"""What the search reads, at the tiny scale: look-alikes of Fashion-MNIST, generators that never learnt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from experiments.gafi.config import GafiConfig, gan_seed
from experiments.gafi.stages import STAGES
from suite.config import load_config
from suite.stage import Job
from tests.gafi.data.lookalikes import write_fashion

ROOT = Path(__file__).resolve().parents[3]
TINY = ROOT / "experiments/gafi/configs/tiny.yaml"


@dataclass(frozen=True)
class TinyRun:
    """Stages on small pictures, results in `folder`."""

    data: Path
    folder: Path
    extra: tuple[str, ...] = ()

    @property
    def overrides(self) -> list[str]:
        """The tiny config on these pictures."""
        return [f"SUBSET.folder={self.data}", *self.extra]

    @property
    def config(self) -> GafiConfig:
        """The resolved config."""
        return load_config(GafiConfig, TINY, self.overrides)

    def job(self, name: str) -> Job:
        """A stage that reads the finished ones of this folder."""
        stage = STAGES[name]
        inputs = {one: self.folder / one for one in stage.inputs}
        return Job(
            stage=stage, config=self.config, seed=0, device="cpu", inputs=inputs, out=self.folder / name
        )

    def words(self, name: str) -> list[str]:
        """The same as arguments of the command."""
        inputs = [word for one in STAGES[name].inputs for word in (f"--{one}", str(self.folder / one))]
        overrides = [word for text in self.overrides for word in ("-o", text)]
        return [name, "--config", str(TINY), *overrides, *inputs, "--out", str(self.folder / name)]


def make_run(folder: Path, *extra: str) -> TinyRun:
    """A run whose search can begin: `import`, `train-classifier`, and two GANs that never learnt."""
    run = TinyRun(write_fashion(folder / "data", num_train=300, num_test=60), folder / "run", extra)
    run.job("import").run()
    run.job("train-classifier").run()
    for gan in range(2):
        write_gan(run, gan)
    (run.folder / "train-gan" / "manifest.json").write_text(json.dumps({"key": "0" * 64}))
    return run


def write_gan(run: TinyRun, gan: int) -> None:
    """Checkpoints of epochs 1 and 2 with random weights."""
    from experiments.gafi.gan.checkpoints import CheckpointIndex, CheckpointWriter
    from experiments.gafi.nn.generator import build_generator
    from experiments.gafi.nn.state import state_of, to_arrays
    from suite.config import to_tree

    config, shape = run.config, {"num_classes": 10, "channels": 1, "image_size": 16}
    folder = run.folder / "train-gan" / f"{gan:05d}"
    writer = CheckpointWriter(
        CheckpointIndex(
            folder=folder / "checkpoints", seed=gan_seed(config, gan, 0), normalize=True,
            model=to_tree(config.gan.MODEL), **shape,
        )
    )  # fmt: skip
    for epoch in (1, 2):
        model = build_generator(config.gan.MODEL, seed=10 * gan + epoch, init_sharing="own", **shape)
        writer.add(epoch, 5 * epoch, to_arrays(model, state_of(model)), stem="ema_generator")
