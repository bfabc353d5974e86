"""The published sections of the settings as frozen dataclasses, and which script has which.

Sections, keys and defaults are those of the published code: its base defaults, over which its files of a data
set are laid (configs/<DATASET>/). Sections of our own are in config_ours.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from experiments.gafi.config_ours import check_above, check_at_least

Optimizer = Literal["sgdw", "sgd", "adam", "adabelief"]
Network = Literal[
    "resnet14", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "resnet1202", "simple"
]
Step = Literal["all", "ckpt", "stddev", "threshold", "best"]

# Published: inclusive ranges (start, end, step); tests/gafi compares them with their text form.
CKPT_EPOCHS = tuple(range(150, 501, 10))
STDDEVS = tuple(round(1 + 0.05 * i, 3) for i in range(21))
THRESHOLDS = tuple(round(0.1 * i, 3) for i in range(10))


@dataclass(frozen=True)
class DataSection:
    """DATA of a classifier, a search or a MultiGAN: the data set and how its pictures reach the network."""

    dataset: str = "CIFAR10"
    image_size: int = 32  # pixels a side, after resize or padding
    categorical: bool = True  # one-hot labels; here labels are integers, so nothing depends on it
    val_categorical: bool = True
    normalize: bool = True  # [-1, 1]; false: [0, 1]
    dequantize: bool = False  # training pictures + U(0, 1/127.5), once
    resize: bool | None = None  # Pillow LANCZOS on uint8
    padding: bool | None = None  # black border; not together with resize
    horizontal_flip: bool = False
    merge_train_val: bool = False  # validation pictures are trained on, the test pictures take their place
    drop_remainder: bool = False


@dataclass(frozen=True)
class GanDataSection(DataSection):
    """DATA of a GAN: other defaults."""

    categorical: bool = False
    horizontal_flip: bool = True
    merge_train_val: bool = True
    drop_remainder: bool = True


@dataclass(frozen=True)
class ClassifierOptimization:
    """OPTIMIZATION of `train-classifier`."""

    optimizer: Optimizer = "sgdw"
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 1e-4  # of sgdw: not multiplied by the learning rate
    batch_size: int = 128
    val_batch_size: int = 128
    epochs: int = 400


@dataclass(frozen=True)
class PipelineOptimization(ClassifierOptimization):
    """OPTIMIZATION of `run-pipeline` and `run-multigan`: the classifiers that see generated pictures only."""

    epochs: int = 100


@dataclass(frozen=True)
class GanOptimization:
    """OPTIMIZATION of `train-gan`."""

    optimizer: Literal["adam"] = "adam"
    g_lr: float = 2e-4
    d_lr: float = 2e-4
    g_beta1: float = 0.5
    d_beta1: float = 0.5
    g_beta2: float = 0.999
    d_beta2: float = 0.999
    adam_eps: float = 1e-6  # outside the square root
    g_updates_per_step: int = 1  # published, without effect there; here G is updated so often per step
    d_updates_per_step: int = 3
    split_batch_d_steps: bool = False  # each D update sees its own third of the basket, not all of it
    acml_steps: int = 1  # only makes the basket larger
    random_labels: bool = False
    batch_size: int = 64  # a basket is batch_size * d_updates_per_step * acml_steps real pictures
    val_batch_size: int = 128
    total_steps: int = 100_000  # only read without epochs
    epochs: int | None = 500
    save_optimizer: bool = True
    save_optimizer_ckpt: bool = False


@dataclass(frozen=True)
class ClassifierModel:
    """MODEL of a classifier."""

    name: Network = "resnet20"
    width: int = 64  # channels of the first stage


@dataclass(frozen=True)
class GanModel:
    """MODEL of a GAN."""

    name: Literal["biggan_deep"] = "biggan_deep"
    studiogan: bool = True  # StudioGAN's blocks: a convolution on every skip path
    hier: bool = True  # the trunk sees latent and label, not the latent alone
    latent_dim: int = 128
    shared_dim: int = 128  # of the label's embedding
    g_conv_dim: int = 128
    g_depth: int = 2  # blocks per resolution
    apply_g_attn: bool = True
    d_conv_dim: int = 128
    d_depth: int = 2
    apply_d_attn: bool = True
    d_wide: bool = True  # published for the network that is not deep; without effect here
    blur_resample: bool = False
    residual_concat: bool = False
    apply_g_ema: bool = True
    g_ema_decay: float = 0.999
    g_ema_start: int = 1000  # steps; until then the average is a copy


@dataclass(frozen=True)
class GanLoss:
    """LOSS of a GAN."""

    type: Literal["hinge", "non-saturating"] = "hinge"
    grad_penalty_type: Literal["r1"] | None = None
    grad_penalty_cost: float = 10.0


@dataclass(frozen=True)
class AugSection:
    """AUG: what happens to a training picture, in the fixed order of the published code."""

    random_flip: bool = True
    random_crop: bool = True
    random_rotation: bool = False
    random_zoom: bool = False
    random_erasing: bool = True


@dataclass(frozen=True)
class ClsPre:
    """CLS_PRE: by which name and where the classifier of real pictures is found (names.py)."""

    name: Network = "resnet20"
    optimizer: Optimizer = "sgdw"
    random_erasing: bool = True
    extra_name: str = ""
    save_path: str = "./save/Models/Classifiers"


@dataclass(frozen=True)
class PipelineSection:
    """PIPELINE of `run-pipeline`: the search."""

    gan_name: str | None = None  # by hand: the folder of the GAN; a run goes through COMPUTE.gan_seeds
    steps: tuple[Step, ...] = ("all",)
    ckpt_epochs: tuple[int, ...] = CKPT_EPOCHS  # 1-based; those without a checkpoint are passed over
    stddev_search: tuple[float, ...] = STDDEVS
    threshold_search: tuple[float, ...] = THRESHOLDS
    load_path: str = "./save/Models/BigGAN"
    apply_standing_stats: bool = False
    standing_stats_bs: int = 192  # largest batch, and number of passes
    filtering_attempts: int = -1  # rounds a class may take; -1: as many as SAMPLING.max_attempts allows
    class_samples: int | None = None  # generated pictures per class; null: training pictures / classes

    def __post_init__(self) -> None:
        for name in ("steps", "ckpt_epochs", "stddev_search", "threshold_search"):
            if not getattr(self, name):
                raise ValueError(f"`PIPELINE.{name}` is empty; give at least one value")
        for name in ("ckpt_epochs", "stddev_search", "threshold_search"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"`PIPELINE.{name}` names a value twice")
        check_at_least("PIPELINE.ckpt_epochs", min(self.ckpt_epochs), 1)
        check_above("PIPELINE.stddev_search", min(self.stddev_search), 0)
        for value in self.threshold_search:
            if not 0 <= value < 1:
                what = f"`PIPELINE.threshold_search` holds {value:g}"
                raise ValueError(f"{what}; a threshold is at least 0 and below 1")
        check_sampling(self)


@dataclass(frozen=True)
class MultiGanSection:
    """PIPELINE of `run-multigan`: one classifier from several GANs."""

    gan_names: tuple[str, ...] | None = None
    load_path: str = "./save/Models/BigGAN"
    one_gan_for_epoch: bool = False  # a whole set from one GAN per epoch, in turn; else a share from each
    apply_standing_stats: bool = False
    standing_stats_bs: int = 192
    filtering_attempts: int = -1
    class_samples: int | None = None  # of all GANs together
    best_class_samples: int | None = None  # class_samples of the searches whose results are read
    best_extra_name: str = ""  # RUN.extra_name of those searches

    def __post_init__(self) -> None:
        if self.gan_names is not None and not self.gan_names:
            raise ValueError("`PIPELINE.gan_names` is empty; name at least one GAN, or null")
        if self.gan_names and len(set(self.gan_names)) < len(self.gan_names):
            raise ValueError("`PIPELINE.gan_names` names a GAN twice")
        if self.best_class_samples is not None:
            check_at_least("PIPELINE.best_class_samples", self.best_class_samples, 1)
        check_sampling(self)


@dataclass(frozen=True)
class RunSection:
    """RUN of `run-pipeline` and `run-multigan`."""

    seed: int = 42
    extra_name: str = ""  # appended to the folder's name
    mixed_precision: bool = False  # mixed_float16, unless COMPUTE.precision says otherwise
    save_path: str = "./save/Models/BigGAN"

    def __post_init__(self) -> None:
        check_at_least("RUN.seed", self.seed, 0)


@dataclass(frozen=True)
class ClassifierRun(RunSection):
    """RUN of `train-classifier`."""

    save_path: str = "./save/Models/Classifiers"


@dataclass(frozen=True)
class GanRun(RunSection):
    """RUN of `train-gan`."""

    save: bool = True
    compute_metrics: bool = False  # FID, KID, ... of every epoch from start_eval_epoch on
    start_eval_epoch: int = 0
    compute_classifier_stats: bool = False  # accuracy of that classifier on real and generated batches
    reload: bool = False  # by hand: train the GAN of this name for more epochs
    show_plots: bool = False  # published; nothing is shown here, the sheets of samples are written
    plot_with_title: bool = False
    plot_title: str = ""
    keep_images: bool = False  # the sheet of every epoch, not the animation alone
    fixed_seed: bool = True  # the same latents in every epoch, whatever the seed (published default)


# --- the scripts: which sections each has ---


@dataclass(frozen=True)
class ClassifierScript:
    """`train-classifier`: ResNet20.yaml."""

    DATA: DataSection = field(default_factory=DataSection)
    OPTIMIZATION: ClassifierOptimization = field(default_factory=ClassifierOptimization)
    MODEL: ClassifierModel = field(default_factory=ClassifierModel)
    AUG: AugSection = field(default_factory=AugSection)
    RUN: ClassifierRun = field(default_factory=ClassifierRun)


@dataclass(frozen=True)
class GanScript:
    """`train-gan`: BigGAN_deep.yaml."""

    DATA: GanDataSection = field(default_factory=GanDataSection)
    OPTIMIZATION: GanOptimization = field(default_factory=GanOptimization)
    MODEL: GanModel = field(default_factory=GanModel)
    LOSS: GanLoss = field(default_factory=GanLoss)
    CLS_PRE: ClsPre = field(default_factory=ClsPre)
    RUN: GanRun = field(default_factory=GanRun)


@dataclass(frozen=True)
class PipelineScript:
    """`run-pipeline`: Pipeline.yaml."""

    DATA: DataSection = field(default_factory=DataSection)
    OPTIMIZATION: PipelineOptimization = field(default_factory=PipelineOptimization)
    MODEL: ClassifierModel = field(default_factory=ClassifierModel)
    AUG: AugSection = field(default_factory=AugSection)
    CLS_PRE: ClsPre = field(default_factory=ClsPre)
    PIPELINE: PipelineSection = field(default_factory=PipelineSection)
    RUN: RunSection = field(default_factory=RunSection)


@dataclass(frozen=True)
class MultiGanScript:
    """`run-multigan`: MultiGAN.yaml."""

    DATA: DataSection = field(default_factory=DataSection)
    OPTIMIZATION: PipelineOptimization = field(default_factory=PipelineOptimization)
    MODEL: ClassifierModel = field(default_factory=ClassifierModel)
    AUG: AugSection = field(default_factory=AugSection)
    CLS_PRE: ClsPre = field(default_factory=ClsPre)
    PIPELINE: MultiGanSection = field(default_factory=MultiGanSection)
    RUN: RunSection = field(default_factory=RunSection)


def check_sampling(settings: PipelineSection | MultiGanSection) -> None:
    """What search and MultiGAN have in common in PIPELINE. Raises ValueError."""
    check_at_least("PIPELINE.standing_stats_bs", settings.standing_stats_bs, 1)
    if settings.filtering_attempts < 1 and settings.filtering_attempts != -1:
        what = f"`PIPELINE.filtering_attempts` is {settings.filtering_attempts}"
        raise ValueError(f"{what}, must be -1 or at least 1")
    if settings.class_samples is not None:
        check_at_least("PIPELINE.class_samples", settings.class_samples, 1)
