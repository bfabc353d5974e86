"""`evaluate`: what the classifiers reach on the test pictures, and what the generated pictures are like.

    python -m experiments.gafi evaluate --config FILE --out DIR --import DIR --train-classifier DIR ...

Under SEARCH.selection_split=val the test pictures are read here for the first time. Writes

    results.csv       every figure: table, row, metric, value, unit
    summary.json      the same for the report, with the choices and the classes
    selection.json    search curves, and what choosing by test over the same weights would have given
    confusion.json    confusion matrices on the test pictures
    acceptance.csv    share accepted by GAN, stddev, threshold and class
    histograms.json   confidence of drawn pictures at the chosen stddev
    curves.json       training curves
    samples/          a sheet per GAN and class, before and after the filter
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from experiments.gafi.classifier.stage import load_classifier, read_facts
from experiments.gafi.classifier.trainer import ClassifierTrainer
from experiments.gafi.config import effective_seed
from experiments.gafi.data.dataset import read_dataset
from experiments.gafi.metrics.generated import measure_pictures
from experiments.gafi.metrics.outcome import (
    bias_row,
    choice_text,
    gan_curves,
    gan_label,
    real_curves,
    result_rows,
    score_row,
    synthetic_curves,
)
from experiments.gafi.metrics.runs import Judge, finished_runs, selection_rows, step_points
from experiments.gafi.nn import backend
from experiments.gafi.search import plan
from experiments.gafi.search.selection import bias, first_max
from experiments.gafi.search.stages import inputs_of
from suite.manifest import write_json
from suite.tables import csv_text

if TYPE_CHECKING:
    from suite.stage import Context

STEPS = plan.STEPS[:-1]  # those with a grid
CHOSEN = ("epoch", "stddev", "threshold")
CONTROLS = {  # arm: name in tables
    "unfiltered": "unfiltered",
    "fixed": "filtered, fixed set",
    "shuffled": "filtered, shuffled labels",
    "real": "real pictures, same loop",
}


def run(ctx: Context) -> None:
    """The stage."""
    backend.setup(threads=ctx.config.COMPUTE.threads, device=ctx.device)
    evaluation = Evaluation(ctx)
    summary, confusion = evaluation.accuracies()
    flattery = evaluation.bias(summary["real"]["accuracy"])
    summary |= measure_pictures(evaluation)
    write_json(ctx.out / "summary.json", summary)
    write_json(ctx.out / "selection.json", {"steps": evaluation.search_steps(), "bias": flattery})
    write_json(ctx.out / "confusion.json", {"class_names": summary["class_names"], "rows": confusion})
    write_json(ctx.out / "curves.json", evaluation.curves())
    (ctx.out / "results.csv").write_text(csv_text(result_rows(summary, flattery)), encoding="utf-8")
    ctx.count("test_pictures", summary["counts"]["test"])
    ctx.count("classifiers", len(confusion))


class Evaluation:
    """The finished stages of a run, opened once."""

    def __init__(self, ctx: Context) -> None:
        config, script = ctx.config, ctx.config.pipeline
        self.ctx, self.config, self.by = ctx, config, config.SEARCH.selection_split
        as_uint8 = not script.DATA.dequantize
        self.dataset = read_dataset(ctx.inputs["import"], script.DATA, merged=False, as_uint8=as_uint8)
        self.seed = effective_seed(script.RUN, ctx.seed)
        inputs = inputs_of(ctx, script)
        self.gan_folders = [gan.folder for gan in inputs.gans]
        self.bench = inputs.open()
        self.runs = {
            name: finished_runs(ctx.inputs[name]) for name in (*STEPS, "best", "run-multigan", "controls")
        }
        self.judges: dict[tuple, Judge] = {}
        self.other: dict[str, dict[int, float]] = {}  # key of a run: accuracy per epoch on the other split

    # --- accuracies ---

    def judge(self, script: Any, split: str) -> Any:
        """The judge of a script's classifiers on a split; equal networks share one compiled prediction."""
        network = (script.MODEL, script.RUN.mixed_precision)
        if (network, split) not in self.judges:
            data = self.dataset
            shared = [judge.trainer for (known, _), judge in self.judges.items() if known == network]
            shape = (data.image_size, data.image_size, data.channels)
            trainer = shared[0] if shared else ClassifierTrainer(
                script, image_shape=shape, num_classes=data.num_classes, compute=self.config.COMPUTE
            )  # fmt: skip
            images, labels = data.splits[split]
            judge = Judge(trainer, images, labels, num_classes=data.num_classes)
            self.judges[network, split] = judge
        return self.judges[network, split]

    def accuracies(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """(begin of summary.json, {row: confusion matrix})."""
        real, real_scores = self.real()
        confusion, rows = {real["name"]: real_scores.confusion.tolist()}, []
        every = [run for name in STEPS for run in self.runs[name]]
        with self.ctx.progress(len(every) + len(self.final())) as bar:
            for run in every:
                self.measure_epochs(run, self.config.pipeline)
                bar.advance()
            for name, kind, run, script in self.final():
                self.measure_epochs(run, script)
                scores = self.judge(script, "test").best(run)
                confusion[name] = scores.confusion.tolist()
                row = score_row(
                    name, kind, scores, real_accuracy=real["accuracy"],
                    num_pictures=self.dataset.counts["test"], epoch=run.result.best_epoch,
                    judged=run.result.score, choice=choice_text(run.result.candidate.sources),
                    flattered=max(self.test_of(run).values(), default=None),
                )  # fmt: skip
                rows.append(row)
                self.ctx.event("measured", run=name, accuracy=f"{scores.accuracy:.4f}")
                bar.advance()
        chosen = {}
        for run in self.runs["best"]:
            source = run.result.candidate.source
            chosen[gan_label(source.index)] = {name: getattr(source, name) for name in CHOSEN}
        summary = {
            "dataset": self.config.dataset,
            "class_names": list(self.dataset.class_names),
            "counts": dict(self.dataset.counts),
            "samples_per_class": self.runs["best"][0].result.candidate.class_samples,
            "selection_split": self.by,
            "real": real,
            "rows": rows,
            "chosen": chosen,
        }
        return summary, confusion

    def real(self) -> tuple[dict[str, Any], Any]:
        """The row of C_real, whose epoch its validation pictures chose, and its scores."""
        folder = self.ctx.inputs["train-classifier"]
        facts = read_facts(folder)
        script = self.config.classifier
        scores = self.judge(script, "test").scores(load_classifier(folder, script.MODEL).state)
        row = score_row(
            "real pictures", "real pictures", scores, real_accuracy=scores.accuracy,
            num_pictures=self.dataset.counts["test"], epoch=facts["best_epoch"], judged=facts["val_accuracy"],
        )  # fmt: skip
        return row, scores

    def final(self) -> list[tuple[str, str, Any, Any]]:
        """(name, kind, run, script) of the classifiers that the table of CAS is about."""
        pipeline, found = self.config.pipeline, []
        for run in self.runs["best"]:
            index = run.result.candidate.source.index
            found.append((f"{gan_label(index)} filtered", "filtered", run, pipeline))
        for run in self.runs["run-multigan"]:
            found.append(("MultiGAN", "multigan", run, self.config.multigan))
        of_arm = {run.result.candidate.step: run for run in self.runs["controls"]}
        for arm, name in CONTROLS.items():
            if arm in of_arm:
                sources = of_arm[arm].result.candidate.sources
                gan = f"{gan_label(sources[0].index)} " if sources else ""
                found.append((f"{gan}{name}", arm, of_arm[arm], pipeline))
        return found

    def measure_epochs(self, run: Any, script: Any) -> None:
        """Accuracy of a run's kept epochs on the split that did not choose; remembered across a kill."""
        self.ctx.check_stop()
        other = "test" if self.by == "val" else "val"
        cache = self.ctx.work / "epochs"
        cache.mkdir(parents=True, exist_ok=True)
        self.other[run.result.key] = self.judge(script, other).epochs(run, cache)

    def test_of(self, run: Any) -> dict[int, float]:
        """{epoch: test accuracy} of a run as far as it is known."""
        return run.judged if self.by == "test" else self.other.get(run.result.key, {})

    def bias(self, real_accuracy: float) -> list[dict[str, Any]]:
        """What choosing by test adds: epochs of the last run, and the whole search of each GAN."""
        groups = []
        for run in self.runs["best"]:
            index = run.result.candidate.source.index
            search = [
                one for step in STEPS for one in self.runs[step] if one.result.candidate.source.index == index
            ]
            groups.append((f"{gan_label(index)} filtered, epochs of the last run", [run]))
            groups.append((f"{gan_label(index)}, all runs of the search", [*search, run]))
        groups += [("MultiGAN, epochs", self.runs["run-multigan"])]
        found = []
        for name, runs in groups:
            rows = selection_rows(runs, self.other, self.by)
            if rows:
                found.append(bias_row(name, bias(rows), choices=len(rows), real_accuracy=real_accuracy))
        return found

    def search_steps(self) -> list[dict[str, Any]]:
        """Search curves with the chosen point (selection.json)."""
        steps = []
        for index in range(len(self.gan_folders)):
            for step in STEPS:
                runs = [r for r in self.runs[step] if r.result.candidate.source.index == index]
                points = list(step_points(runs, step, {r.result.key: self.test_of(r) for r in runs}))
                chosen = first_max([point["judged"] for point in points])
                steps.append({"gan": gan_label(index), "step": step, "points": points, "chosen": chosen})
        return steps

    def curves(self) -> list[dict[str, Any]]:
        """curves.json."""
        found = [*real_curves(self.ctx.inputs["train-classifier"]), *gan_curves(self.gan_folders)]
        for name, _, run, _ in self.final():
            found.append(synthetic_curves(name, run, self.other[run.result.key], by=self.by))
        return found
