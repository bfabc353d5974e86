"""What a search reads: the data set, the classifier that filters, the generators; opened once for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.gafi.classifier.stage import load_classifier, read_facts
from experiments.gafi.classifier.trainer import ClassifierTrainer
from experiments.gafi.config import max_attempts, precision_of
from experiments.gafi.data.dataset import Dataset
from experiments.gafi.gan.checkpoints import list_checkpoints, load_generator
from experiments.gafi.gan.standing import standing_state
from experiments.gafi.nn import backend
from experiments.gafi.sampling.score import Network, Scorer
from experiments.gafi.search.candidate import Bench
from experiments.gafi.search.ledger import Source
from suite.config import to_tree
from suite.errors import BadInput
from suite.manifest import key_of

NOT_DECIDING = ("epochs",)  # of OPTIMIZATION: a candidate names its own


@dataclass(frozen=True, kw_only=True)
class Gan:
    """A trained GAN on the disk."""

    name: str
    index: int  # its place among the GANs of the run
    folder: Path  # holds `checkpoints`

    def digests(self) -> dict[int, str]:
        """{epoch: SHA-256} of the generators that are there."""
        return {row.epoch: row.sha256 for row in list_checkpoints(self.folder).checkpoints}


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """One search's inputs. config: a GafiConfig. script: its `pipeline` or `multigan`."""

    config: Any
    script: Any
    dataset: Dataset
    classifier: Path  # folder that train-classifier wrote
    gans: Sequence[Gan]
    seed: int  # effective seed
    check_model: bool = True  # the classifier must be that of config.classifier.MODEL

    def __post_init__(self) -> None:
        split, data = self.config.SEARCH.selection_split, self.script.DATA
        if data.merge_train_val and split == "val":
            what = "DATA.merge_train_val makes the test pictures the validation pictures"
            raise BadInput(what, fix="leave it false, or set SEARCH.selection_split=test")
        self._check_shapes()

    @property
    def class_samples(self) -> int:
        """Generated pictures per class in a set."""
        return self.dataset.samples_per_class(self.script.PIPELINE.class_samples)

    @property
    def classifier_digest(self) -> str:
        """SHA-256 of the weights of the classifier that filters."""
        return read_facts(self.classifier)["sha256"]

    def settings(self) -> dict[str, Any]:
        """All that decides a result and is no field of a Candidate; its key is `Candidate.settings`."""
        config, script = self.config, self.script
        compute = ("threads", "xla_classifier", "xla_gan", "init_sharing", "lr_milestones")
        optimization = to_tree(script.OPTIMIZATION)
        return {
            "backend": backend.NAME,
            "precision": precision_of(script.RUN, config.COMPUTE),
            "COMPUTE": {name: to_tree(getattr(config.COMPUTE, name)) for name in compute},
            "DATA": to_tree(script.DATA),
            "counts": dict(self.dataset.counts),
            "OPTIMIZATION": {k: v for k, v in optimization.items() if k not in NOT_DECIDING},
            "MODEL": to_tree(script.MODEL),
            "AUG": to_tree(script.AUG),
            "SAMPLING": to_tree(config.SAMPLING),
            "SEARCH": {"keep_epochs": config.SEARCH.keep_epochs},
            "PIPELINE": {
                name: getattr(script.PIPELINE, name)
                for name in ("apply_standing_stats", "standing_stats_bs", "filtering_attempts")
            },
        }

    def settings_key(self) -> str:
        """The digest of `settings`."""
        return key_of(self.settings())

    def open(self) -> Bench:
        """Load the classifier and compile; generators are loaded when a candidate needs them."""
        config, size = self.config, self.dataset.image_size
        trainer = ClassifierTrainer(
            self.script, image_shape=(size, size, self.dataset.channels),
            num_classes=self.dataset.num_classes, compute=config.COMPUTE,
        )  # fmt: skip
        attempts = self.script.PIPELINE.filtering_attempts
        return Bench(
            trainer=trainer, scorer_of=_Scorers(self), dataset=self.dataset,
            cap=max_attempts(config, attempts), fallback=config.SAMPLING.fallback,
            keep_epochs=config.SEARCH.keep_epochs,
        )  # fmt: skip

    def _check_shapes(self) -> None:
        """Classifier and GANs must be of this data set: classes, channels, pixels, range."""
        want = {name: getattr(self.dataset, name) for name in ("num_classes", "channels", "image_size")}
        want["normalize"] = self.script.DATA.normalize
        facts = read_facts(self.classifier)
        found = {self.classifier: {**facts["architecture"], "normalize": facts["normalize"]}}
        found |= {gan.folder: vars(list_checkpoints(gan.folder)) for gan in self.gans}
        for folder, have in found.items():
            for name, value in want.items():
                if have[name] != value:
                    what = f"is of another data set: {name} is {have[name]}, not {value}"
                    raise BadInput(what, file=folder, fix="give the folder that belongs to this data set")


class _Scorers:
    """The scorer of a source. All share one compiled step; of each GAN the last generator stays loaded."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._folders = {gan.index: gan.folder for gan in inputs.gans}
        self._held: dict[int, tuple[str, Scorer]] = {}
        self._first: Scorer | None = None
        self._model: Any = None

    def __call__(self, source: Source) -> Scorer:
        held = self._held.get(source.index)
        if held is None or held[0] != source.generator:
            held = self._held[source.index] = (source.generator, self._load(source))
        return held[1]

    def _load(self, source: Source) -> Scorer:
        inputs, folder = self._inputs, self._folders[source.index]
        config, section = inputs.config, inputs.script.PIPELINE
        loaded = load_generator(folder, source.epoch, config.gan, generator=self._model)
        if loaded.digest != source.generator:
            what = f"the generator of epoch {source.epoch} is not the one that was searched"
            raise BadInput(what, file=folder, fix="run the search again, it has another GAN now")
        self._model, state = loaded.model, loaded.state
        if section.apply_standing_stats:
            state = standing_state(
                loaded.model, state, size=section.standing_stats_bs,
                num_classes=inputs.dataset.num_classes, latent_dim=config.gan.MODEL.latent_dim,
                seed=inputs.seed,
            )  # fmt: skip
        if self._first is None:
            wanted = config.classifier.MODEL if inputs.check_model else None
            classifier: Network = load_classifier(inputs.classifier, wanted)
            self._first = Scorer(
                loaded, classifier, batch_size=config.SAMPLING.batch_size, store=config.SAMPLING.store,
                normalize=inputs.script.DATA.normalize, xla=config.COMPUTE.xla_gan,
            )  # fmt: skip
        return self._first.with_generator(state)
