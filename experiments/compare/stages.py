"""The stages of the comparison: those that make an arm's data (stages_data.py), then the cells
(stages_cells.py).

`stages_of` picks those that the arms need; `needed_runs` are the runs of others that come first.
"""

from __future__ import annotations

from experiments.compare.arms import needed_runs
from experiments.compare.config import CONFIG, CompareConfig
from experiments.compare.stages_cells import cell_stages
from experiments.compare.stages_data import data_stages
from suite.stage import Stage

__all__ = ["STAGES", "needed_runs", "stages_of"]


def stages_of(config: CompareConfig) -> dict[str, Stage]:
    """The stages that these settings need, by name, in order."""
    return {stage.name: stage for stage in (*data_stages(config), *cell_stages(config))}


STAGES = stages_of(CONFIG())
