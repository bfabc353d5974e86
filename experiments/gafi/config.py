"""All settings of GaFi: four scripts in the published two-level form, and our own sections beside them.

    config = load_config(GafiConfig, "experiments/gafi/configs/smoke.yaml", ["dataset=CIFAR10"])
    config.gan.MODEL.latent_dim, config.pipeline.PIPELINE.ckpt_epochs, config.SEARCH.selection_split

A scale file names a data set. Below it lie that data set's four files (configs/<DATASET>/), below those the
base defaults; overrides win over all. A script by hand is one of these four files alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.gafi.config_ours import (
    ComputeSection,
    MetricsSection,
    RecycleSection,
    SamplingSection,
    SearchSection,
    SubsetSection,
)
from experiments.gafi.config_sections import (
    ClassifierScript,
    GanScript,
    MultiGanScript,
    PipelineScript,
    RunSection,
)
from experiments.gafi.search.grid import KEYS, expand
from suite.config import merge, read_tree
from suite.errors import BadInput
from suite.runs import choose

CONFIGS = Path(__file__).resolve().parent / "configs"
DATASETS = ("CIFAR10", "CIFAR100", "CINIC10", "DermaMNIST", "FashionMNIST")
FILES = {  # script: its file in configs/<DATASET>/
    "classifier": "ResNet20.yaml",
    "gan": "BigGAN_deep.yaml",
    "pipeline": "Pipeline.yaml",
    "multigan": "MultiGAN.yaml",
}
SCRIPTS = {
    "classifier": ClassifierScript,
    "gan": GanScript,
    "pipeline": PipelineScript,
    "multigan": MultiGanScript,
}
SEED_STEP = 1_000_003  # a prime far above any published seed of the chain


@dataclass(frozen=True)
class GafiConfig:
    """Everything that one run of the chain needs."""

    dataset: str
    classifier: ClassifierScript = field(default_factory=ClassifierScript)
    gan: GanScript = field(default_factory=GanScript)
    pipeline: PipelineScript = field(default_factory=PipelineScript)
    multigan: MultiGanScript = field(default_factory=MultiGanScript)
    SUBSET: SubsetSection = field(default_factory=SubsetSection)
    SAMPLING: SamplingSection = field(default_factory=SamplingSection)
    SEARCH: SearchSection = field(default_factory=SearchSection)
    RECYCLE: RecycleSection = field(default_factory=RecycleSection)
    COMPUTE: ComputeSection = field(default_factory=ComputeSection)
    METRICS: MetricsSection = field(default_factory=MetricsSection)

    @classmethod
    def expand(cls, tree: Mapping[str, Any], path: Path) -> dict[str, Any]:
        """Lay the scale's tree over the four files of its data set; grids and lists as text become lists.

        Raises BadInput naming `path` for an unknown data set or a text that is no grid.
        """
        name = tree.get("dataset")
        if name is None:
            raise BadInput("missing key `dataset`", file=path, fix=f"choose one of {', '.join(DATASETS)}")
        check_dataset(name, path)
        below = {script: read_tree(CONFIGS / name / file) for script, file in FILES.items()}
        tree = merge(below, tree)
        for script in FILES:
            if isinstance(tree[script], Mapping):
                tree[script] = read_texts(tree[script], path)
        return _with_gan_seeds(tree)

    def __post_init__(self) -> None:
        sizes = set()
        for script in FILES:
            data = getattr(self, script).DATA
            check_script(getattr(self, script))
            sizes.add((data.image_size, data.normalize, data.resize or False, data.padding or False))
            if data.dataset != self.dataset:
                what = f"`{script}.DATA.dataset` is {data.dataset}, but `dataset` is {self.dataset}"
                raise ValueError(what)
        if len(sizes) > 1:
            what = "`DATA.image_size`, `normalize`, `resize`, `padding` differ between the four scripts"
            raise ValueError(f"{what}; they share one classifier and one GAN")
        if not self.COMPUTE.gan_seeds:
            raise ValueError("`COMPUTE.gan_seeds` is empty; name at least one GAN")
        if not ckpt_epochs(self):
            last = self.gan.OPTIMIZATION.epochs
            raise ValueError(
                f"`pipeline.PIPELINE.ckpt_epochs` is an empty grid: none of its epochs is kept of 1..{last}; "
                f"see COMPUTE.keep_every (is {self.COMPUTE.keep_every})"
            )


CONFIG = GafiConfig


def check_dataset(name: Any, path: str | Path) -> None:
    """Raise BadInput with the known names, or the near ones."""
    same = [known for known in DATASETS if known.lower() == str(name).lower()]
    try:
        choose(same[0] if same and same[0] != name else str(name), list(DATASETS), "data set")
    except BadInput as error:
        raise BadInput(str(error), file=path) from None
    if same and same[0] != name:
        raise BadInput(f"no data set {name!r}", file=path, fix=f"did you mean {same[0]}?")


def read_texts(script: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    """A script's tree whose grids and lists that are given as text are lists.

    Grids: `(start, end, step)` or `[a, b]` (search/grid.py). `steps` and `gan_names`: names separated by
    commas. `None` as text, which YAML would leave a text, is null.
    """
    out: dict[str, Any] = {}
    for name, section in script.items():
        if not isinstance(section, Mapping):
            out[name] = section
            continue
        out[name] = {key: None if value == "None" else value for key, value in section.items()}
    pipeline = out.get("PIPELINE")
    if not isinstance(pipeline, dict):
        return out
    for kind, key in KEYS.items():
        if pipeline.get(key) is not None:
            try:
                pipeline[key] = list(expand(pipeline[key], kind=kind))
            except BadInput as error:
                raise BadInput(str(error), file=path) from None
    for key in ("steps", "gan_names"):
        if isinstance(pipeline.get(key), str):
            pipeline[key] = [word.strip() for word in pipeline[key].split(",") if word.strip()]
    return out


def seed_of_name(gan_name: str) -> int:
    """The seed in a GAN's published name: 42 of `BigGAN_Deep_StudioGAN_cifar10_normalized_seed42_3discStep`.

    Raises BadInput where there is none.
    """
    found = re.search(r"_seed(\d+)(?:_|$)", gan_name)
    if found is None:
        fix = "a GAN's name holds _seed<S>_, see names.py"
        raise BadInput(f"no seed in the GAN's name {gan_name!r}", fix=fix)
    return int(found[1])


def _with_gan_seeds(tree: dict[str, Any]) -> dict[str, Any]:
    """COMPUTE.gan_seeds from the names in the MultiGAN file, where they are not given."""
    compute = tree.get("COMPUTE")
    multigan = tree.get("multigan")
    if compute is not None and not isinstance(compute, Mapping) or not isinstance(multigan, Mapping):
        return tree  # for the type check to name, as below
    if compute and compute.get("gan_seeds") is not None:
        return tree
    section = multigan.get("PIPELINE")
    names = section.get("gan_names") if isinstance(section, Mapping) else None
    if names is not None and not isinstance(names, (list, tuple)):
        return tree
    seeds = [seed_of_name(str(name)) for name in names or ()]
    return merge(tree, {"COMPUTE": {"gan_seeds": seeds}})


def check_script(script: Any) -> None:
    """What the sections of one script cannot know of each other. Raises ValueError."""
    data, optimization = script.DATA, script.OPTIMIZATION
    if data.dataset not in DATASETS:
        raise ValueError(f"no data set {data.dataset!r}; choose one of {', '.join(DATASETS)}")
    if data.resize and data.padding:
        raise ValueError("`DATA.resize` and `DATA.padding` exclude each other")
    counts = {
        "DATA.image_size": data.image_size,
        "OPTIMIZATION.batch_size": optimization.batch_size,
        "OPTIMIZATION.val_batch_size": optimization.val_batch_size,
        "OPTIMIZATION.epochs": 1 if optimization.epochs is None else optimization.epochs,
    }
    if isinstance(script, GanScript):
        model = script.MODEL
        counts |= {
            "OPTIMIZATION.d_updates_per_step": optimization.d_updates_per_step,
            "OPTIMIZATION.acml_steps": optimization.acml_steps,
            "OPTIMIZATION.total_steps": optimization.total_steps,
            "OPTIMIZATION.g_lr": optimization.g_lr, "OPTIMIZATION.d_lr": optimization.d_lr,
            "MODEL.latent_dim": model.latent_dim, "MODEL.shared_dim": model.shared_dim,
            "MODEL.g_conv_dim": model.g_conv_dim, "MODEL.d_conv_dim": model.d_conv_dim,
            "MODEL.g_depth": model.g_depth, "MODEL.d_depth": model.d_depth,
        }  # fmt: skip
    else:
        counts |= {"OPTIMIZATION.lr": optimization.lr, "MODEL.width": script.MODEL.width}
    for name, value in counts.items():
        if value <= 0:
            raise ValueError(f"`{name}` is {value:g}, must be above 0")


def effective_seed(run: RunSection, seed: int) -> int:
    """The seed of a script in run `seed` (0, 1, ...) of the chain: RUN.seed itself in run 0."""
    return run.seed + SEED_STEP * seed


def gan_seed(config: GafiConfig, gan: int, seed: int) -> int:
    """The seed of GAN number `gan` (from 0) of the chain in run `seed`: its published one in run 0."""
    return config.COMPUTE.gan_seeds[gan] + SEED_STEP * seed


def precision_of(run: RunSection, compute: ComputeSection) -> str:
    """The Keras policy of a script: COMPUTE.precision where it is not float32, else what RUN says."""
    if compute.precision != "float32":
        return compute.precision
    return "mixed_float16" if run.mixed_precision else "float32"


def milestones(compute: ComputeSection, epochs: int) -> tuple[int, ...]:
    """The 1-based epochs at whose begin the learning rate falls to a tenth, of a training of `epochs`.

    Values from 1 on are epochs, whatever the total (GaFi, published code: 60 and 80); below 1, shares of it.
    """
    return tuple(int(v) if v >= 1 else max(1, round(v * epochs)) for v in compute.lr_milestones)


def search_epochs(config: GafiConfig) -> int:
    """Epochs of a candidate of ckpt, stddev and threshold."""
    return config.SEARCH.epochs or config.pipeline.OPTIMIZATION.epochs


def max_attempts(config: GafiConfig, filtering_attempts: int) -> int | None:
    """Rounds that a class may take: what PIPELINE says, or our cap where it says -1. None: no limit."""
    return (config.SAMPLING.max_attempts or None) if filtering_attempts == -1 else filtering_attempts


def is_kept(epoch: int, *, epochs: int | None, keep_every: int) -> bool:
    """Whether the averaged generator of a GAN's `epoch` (1-based) stays on the disk."""
    return epoch % keep_every == 0 or epoch == epochs


def ckpt_epochs(config: GafiConfig) -> tuple[int, ...]:
    """The epochs of `ckpt_epochs` of which a generator will be there, in the order of the grid.

    The published grid of Fashion-MNIST goes to 500, its GANs to 300; those beyond are passed over. With a
    length in steps instead of epochs, nothing is known in advance and the grid stays as it is.
    """
    epochs, every = config.gan.OPTIMIZATION.epochs, config.COMPUTE.keep_every
    grid = config.pipeline.PIPELINE.ckpt_epochs
    if epochs is None:
        return grid
    return tuple(e for e in grid if e <= epochs and is_kept(e, epochs=epochs, keep_every=every))
