"""Train a small BigGAN-deep in the folder that is named: a process for test_kill.py to disturb.

python -m tests.gafi.gan.child FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from suite.errors import guard
from suite.stage import STOP

EPOCHS, PER_EPOCH = 4, 3
SIZE = 16


def main(folder: Path) -> None:
    from experiments.gafi.nn import backend

    backend.setup(threads=1, device="cpu")

    from experiments.gafi.config_ours import ComputeSection
    from experiments.gafi.gan.train import GanTrainer, Hooks, train
    from suite.errors import Stopped
    from tests.gafi.gan.stubs import script

    STOP.install()

    def check_stop() -> None:
        print("step", file=sys.stderr, flush=True)
        if STOP.is_set:
            raise Stopped("stopped", fix="the same command goes on")

    settings = script(
        epochs=EPOCHS, g_depth=1, d_depth=1, data={"image_size": SIZE}, lr=2e-4, run={"keep_images": True}
    )
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (PER_EPOCH * 6 + 1, SIZE, SIZE, 1)).astype(np.float32)
    labels = rng.integers(0, 3, len(images))
    trainer = GanTrainer(settings, ComputeSection(checkpoint_every=2), num_classes=3, channels=1, seed=5)
    folder.mkdir(exist_ok=True)
    work = folder.with_name(folder.name + "-work")
    train(trainer, images, labels, folder=folder, work=work, hooks=Hooks(check_stop=check_stop))


if __name__ == "__main__":
    sys.exit(guard(lambda: main(Path(sys.argv[1]))))
