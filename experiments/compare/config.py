"""Every setting of the comparison, as frozen dataclasses.

    config = load_config(CONFIG, "experiments/compare/configs/smoke.yaml", ["arms=[real,pasted]"])

`solid_run` and `imaginarynet_run` are folders below RUNS_DIR (`solid/smoke/seed0`): runs whose weights and
pictures take part. Sizes are in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from experiments.compare.arms import ARMS, pick, run_parts
from experiments.compare.config_cells import CellsConfig
from experiments.compare.config_data import BoxedConfig, CutoutsConfig, PastedConfig, TargetConfig

ArmName = Literal["real", "pasted", "imaginary", "solid"]  # those of arms.py


@dataclass(frozen=True)
class CompareConfig:
    """Everything that one comparison needs."""

    arms: tuple[ArmName, ...] = ("real", "pasted", "imaginary", "solid")
    solid_run: str = "solid/smoke/seed0"
    imaginarynet_run: str = "imaginarynet/smoke/seed0"
    target: TargetConfig = field(default_factory=TargetConfig)
    cutouts: CutoutsConfig = field(default_factory=CutoutsConfig)
    pasted: PastedConfig = field(default_factory=PastedConfig)
    boxed: BoxedConfig = field(default_factory=BoxedConfig)
    cells: CellsConfig = field(default_factory=CellsConfig)

    def __post_init__(self) -> None:
        if not self.arms or len(set(self.arms)) != len(self.arms):
            raise ValueError(f"`arms` is {list(self.arms)}; name one or more of {', '.join(ARMS)}, each once")
        pick(self.arms)
        for name in ("solid_run", "imaginarynet_run"):
            run_parts(getattr(self, name), setting=name)
        if "pasted" in self.arms and self.target.source == "coco" and self.cutouts.folder is None:
            what = "`arms` has pasted: the rendered cut-outs show tabletop's classes, not those of `target`"
            raise ValueError(f"{what}; name a folder of yours in `cutouts.folder`, or leave the arm out")


CONFIG = CompareConfig
