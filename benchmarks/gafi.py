"""Accepted images per second of generate-score-select, and a search stage, against the per-class host loop.

    python -m benchmarks.gafi                     # sizes of the scale `small`
    python -m benchmarks.gafi --quick             # a minute, for a look
    python -m benchmarks.gafi --device cuda --g-conv-dim 128 --latent-dim 128 --width 64 --per-class 5000

Run it in the tensorflow environment. Networks are those of the pipeline with random weights; only the
embedding of the generator's classes is enlarged and the classifier's last layer fitted to generated images
by least squares, so that a part of the images is accepted. Both ways get the same networks and the same
latents:

    host loop   the published procedure (gafi_reference.py): class by class, predict, predict, numpy
    fill        experiments/gafi/sampling: mixed classes, one compiled step, images stay on the device
    uint8       the same with images stored in 8 bits

    a stage     one candidate per threshold, each trained for some epochs with a set renewed every few: the
                host loop makes every set anew and compiles every classifier, ours scores each stream once
                for all thresholds (PoolCache) and compiles once

Before anything is timed the sets are compared: equal images up to rounding. Then the ways take turns, so
that a busy machine slows all; the medians are shown. First calls, which compile, are not timed in the first
part and are in the second one, since a search pays them.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from experiments.gafi.nn import backend

# isort: split
import keras

from benchmarks.gafi_reference import generate_dataset, train_candidate
from experiments.gafi.classifier.trainer import ClassifierTrainer
from experiments.gafi.config_ours import ComputeSection
from experiments.gafi.config_sections import ClassifierModel, GanModel, PipelineScript
from experiments.gafi.nn.classifiers import build_classifier
from experiments.gafi.nn.generator import build_generator
from experiments.gafi.nn.state import ModelState, state_of
from experiments.gafi.sampling.fill import FilteredSet, fill
from experiments.gafi.sampling.latents import StreamKey
from experiments.gafi.sampling.pool import PoolCache
from experiments.gafi.sampling.recycle import RecycleProvider
from experiments.gafi.sampling.score import Scorer, Segment
from suite.errors import guard

EMBEDDING = 400.0  # factor of the generator's class embedding
STDDEV, SEED = 1.25, 0
RULE = {"cap": None, "fallback": "error"}
FITTED = 60  # images per class that the classifier's last layer is fitted to
LOGITS = 20.0  # distance between the fitted logits of the wanted class and of the others
NUM_VAL = 1000  # images that a candidate is evaluated on
STORES = {"fill": "float32", "uint8": "uint8"}


class Net(NamedTuple):
    """A network and its weights, as Scorer takes them."""

    model: keras.Model
    state: ModelState


def main() -> None:
    """Command line: see the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer images, thresholds and epochs")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--g-conv-dim", type=int, default=8, help="of the generator; paper: 128")
    parser.add_argument("--latent-dim", type=int, default=32, help="paper: 128")
    parser.add_argument("--width", type=int, default=8, help="of the classifiers; paper: 64")
    parser.add_argument("--per-class", type=int, default=200, help="images of a class; paper: 5000")
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.0, 0.3, 0.5, 0.7])
    parser.add_argument("--epochs", type=int, default=4, help="of a candidate of the stage")
    parser.add_argument("--every", type=int, default=2, help="epochs between two sets; paper: 10")
    parser.add_argument("--batch-size", type=int, default=256, help="of our compiled step")
    parser.add_argument("--repeats", type=int, default=3, help="timed turns of the first part")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--xla", action="store_true", help="compile our step with XLA")
    parser.add_argument("--only", choices=("sampling", "stage"), help="one part")
    args = parser.parse_args()
    if args.quick:
        args.per_class, args.thresholds, args.epochs, args.repeats = 40, [0.0, 0.5], 2, 2
    backend.setup(threads=args.threads, device=args.device)
    cpus = f"{platform.machine()}, {len(os.sched_getaffinity(0))} CPUs"
    print(f"{cpus}, {args.threads} threads, {args.device}", flush=True)
    generator, classifier = networks(args)
    if args.only != "stage":
        measure_sampling(generator, classifier, args)
    if args.only != "sampling":
        measure_stage(generator, classifier, args)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def networks(args: argparse.Namespace) -> tuple[Net, Net]:
    """Generator and classifier, see the module docstring."""
    shape = {
        "num_classes": args.classes,
        "channels": args.channels,
        "image_size": args.image_size,
        "seed": SEED,
    }
    dims = {"latent_dim": args.latent_dim, "shared_dim": args.latent_dim, "g_conv_dim": args.g_conv_dim}
    generator = build_generator(GanModel(**dims), **shape)
    generator.embedding.assign(EMBEDDING * generator.embedding.value)
    classifier = build_classifier(ClassifierModel(width=args.width), **shape)
    judge = scorer(Net(generator, state_of(generator)), Net(classifier, state_of(classifier)), args)
    segments = [Segment(label, 0, FITTED) for label in range(args.classes)]
    features = []
    for parts, images in judge.generate(segments, stream=StreamKey(SEED, gan=1), stddev=STDDEV):
        number = sum(part.stop - part.start for part in parts)
        features.append(backend.to_numpy(classifier(images, return_features=True))[:number])
    features = np.concatenate(features)
    spread = features.std() + 1e-12
    inputs = np.concatenate([features / spread, np.ones((len(features), 1))], axis=1).astype(np.float64)
    targets = np.repeat(np.eye(args.classes), FITTED, axis=0)
    ridge = inputs.T @ inputs + 0.1 * np.eye(inputs.shape[1])
    weights = LOGITS * np.linalg.solve(ridge, inputs.T @ targets)
    classifier.dense.kernel.assign((weights[:-1] / spread).astype(np.float32))
    classifier.dense.bias.assign(weights[-1].astype(np.float32))
    return Net(generator, state_of(generator)), Net(classifier, state_of(classifier))


def scorer(generator: Net, classifier: Net, args: argparse.Namespace, *, store: str = "float32") -> Scorer:
    """Our compiled step."""
    return Scorer(generator, classifier, batch_size=args.batch_size, store=store, xla=args.xla)


# --- one set ---


def measure_sampling(generator: Net, classifier: Net, args: argparse.Namespace) -> None:
    """Print accepted images per second of each way and the ratio to the host loop."""
    threshold = args.thresholds[0]
    rule = {"quotas": [args.per_class] * args.classes, "stddev": STDDEV, "threshold": threshold, **RULE}
    judges = {name: scorer(generator, classifier, args, store=store) for name, store in STORES.items()}

    def host_loop(stream: StreamKey) -> np.ndarray:
        return reference_set(generator, classifier, args, threshold, stream)[0]

    ways: dict[str, Callable] = {"host loop": host_loop}
    for name, judge in judges.items():
        ways[name] = lambda stream, judge=judge: fill(judge, stream=stream, **rule)
    first = {name: make(StreamKey(SEED)) for name, make in ways.items()}
    compare(first["host loop"], first["fill"])
    stats = first["fill"].stats
    seconds = {name: [] for name in ways}
    for repeat in range(1, args.repeats + 1):
        for name, make in ways.items():
            started = time.perf_counter()
            make(StreamKey(SEED).at(repeat))
            seconds[name].append(time.perf_counter() - started)
    number = args.per_class * args.classes
    shares = f"{100 * stats.acceptance.min():.0f}..{100 * stats.acceptance.max():.0f} %"
    print(f"\na set of {number} images, {stats.drawn.sum()} drawn, accepted {shares} of a class")
    print_ways(
        {name: statistics.median(taken) for name, taken in seconds.items()}, number, "accepted images/s"
    )


def reference_set(
    generator: Net, classifier: Net, args: argparse.Namespace, threshold: float, stream: StreamKey
) -> tuple[np.ndarray, np.ndarray]:
    """The host loop's set."""
    return generate_dataset(
        generator.model, classifier.model, per_class=args.per_class, classes=args.classes, stddev=STDDEV,
        threshold=threshold, stream=stream,
    )  # fmt: skip


def compare(reference: np.ndarray, ours: FilteredSet) -> None:
    """Raises AssertionError where the two ways do not give the same images, up to rounding.

    A confidence within rounding of the threshold may fall on the other side: one image in a thousand may
    differ.
    """
    apart = np.abs(reference - backend.to_numpy(ours.images)).max(axis=(1, 2, 3)) > 1e-4
    assert apart.mean() <= 1e-3, f"{apart.sum()} of {len(apart)} images of the two ways differ"


# --- a stage of the search ---


def measure_stage(generator: Net, classifier: Net, args: argparse.Namespace) -> None:
    """Print the seconds of a threshold stage, both ways, by phase. Compilation is included."""
    rng = np.random.default_rng(SEED)
    shape = (args.image_size, args.image_size, args.channels)
    val = rng.uniform(-1, 1, (NUM_VAL, *shape)).astype(np.float32), rng.integers(0, args.classes, NUM_VAL)
    script, compute = (
        PipelineScript(MODEL=ClassifierModel(width=args.width)),
        ComputeSection(threads=args.threads),
    )
    trainer = ClassifierTrainer(script, image_shape=shape, num_classes=args.classes, compute=compute)
    ours = our_stage(trainer, scorer(generator, classifier, args), args, val)
    theirs = Counter()
    for number, threshold in enumerate(args.thresholds):
        network = build_classifier(
            script.MODEL,
            num_classes=args.classes,
            channels=args.channels,
            image_size=args.image_size,
            seed=number,
        )
        theirs += train_candidate(
            trainer,
            network,
            lambda renewal, tau=threshold: reference_set(
                generator, classifier, args, tau, StreamKey(SEED).at(renewal)
            ),
            epochs=args.epochs,
            every=args.every,
            val=val,
        )
    print(f"\na stage of {len(args.thresholds)} thresholds, {args.epochs} epochs, renewed every {args.every}")
    phases, base = ("data", "training", "evaluation"), total(theirs)
    for name, seconds in (("host loop", theirs), ("ours", ours)):
        columns = "  ".join(f"{phase} {seconds[phase]:7.2f} s" for phase in phases)
        print(f"{name:10s} {sum(seconds.values()):8.2f} s  ratio {base / total(seconds):5.2f}   {columns}")
    print(f"data alone: ratio {theirs['data'] / ours['data']:.2f}")


def our_stage(
    trainer: ClassifierTrainer, judge: Scorer, args: argparse.Namespace, val: tuple[np.ndarray, np.ndarray]
) -> Counter:
    """Seconds of each phase."""
    pools = PoolCache(judge, classes=args.classes, stddev=STDDEV, limit_bytes=2**30)
    seconds, images, labels = Counter(), backend.to_numpy(val[0]), val[1]
    for threshold in args.thresholds:
        provider = RecycleProvider(
            lambda stream, quotas, tau=threshold: pools.fill(stream, quotas, threshold=tau, **RULE),
            classes=args.classes, per_class=args.per_class, every=args.every, stream=StreamKey(SEED),
        )  # fmt: skip
        state = trainer.initial(SEED)
        for epoch in range(1, args.epochs + 1):
            started = time.perf_counter()
            samples = provider.epoch(epoch)
            made = time.perf_counter()
            state, _, _ = trainer.train_epoch(
                state,
                samples.images,
                samples.labels,
                epoch=epoch,
                seed=SEED,
                lr=trainer.lr(epoch, epochs=epoch),
            )
            trained = time.perf_counter()
            trainer.evaluate(state, images, labels)
            ended = time.perf_counter()
            seconds += Counter(data=made - started, training=trained - made, evaluation=ended - trained)
    return seconds


def total(seconds: Counter) -> float:
    """Of all phases."""
    return sum(seconds.values())


def print_ways(seconds: dict[str, float], number: int, unit: str) -> None:
    """A line for each way: rate and ratio to the first."""
    base = next(iter(seconds.values()))
    for name, taken in seconds.items():
        print(f"{name:10s} {number / taken:10.1f} {unit}  ratio {base / taken:5.2f}")


if __name__ == "__main__":
    raise SystemExit(guard(main))
