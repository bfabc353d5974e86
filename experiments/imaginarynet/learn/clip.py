"""Training of the tiny CLIP: captions against pictures, and class names as the filter has them.

loss = InfoNCE(captions)
     + class_weight * cross-entropy of softmax(scale * cosine) over the texts of all class names
     + head_weight * cross-entropy of a linear layer on the picture's features

The class names stand in the filter's own template. The scale of their loss grows to the filter's fixed 100:
100 from the first step on, while nothing is right yet and being wrong is dear, draws all texts to one point,
from where the pictures learn nothing. The linear layer, which is thrown away, is for the same: it tells the
image tower the classes whatever the texts are.

In a batch of one small corpus the same caption comes
more than once: all pictures of a caption are its partners (a target of equal shares), where the published
loss of CLIP would call all but one wrong.

Leaves the folder `clip/` (clip_model.py), clip_curve.csv and training.json: settings, digests, and the
accuracy of every class on the pictures held out.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTokenizer

from experiments.imaginarynet.learn.augment import Augmentation, views
from experiments.imaginarynet.learn.clip_eval import HeldOut, class_features, measure, to_input, to_pixels
from experiments.imaginarynet.learn.clip_model import (
    ClipSize,
    build_model,
    num_parameters,
    tokenize,
    train_tokenizer,
    write_folder,
)
from experiments.imaginarynet.learn.corpus import Corpus
from experiments.imaginarynet.learn.torch_loop import Hooks, Learner, Phase, fit
from suite.errors import BadInput
from suite.manifest import file_digest, write_json
from suite.seeds import item_rng
from suite.tables import csv_text

FOLDER, CURVE, FACTS = "clip", "clip_curve.csv", "training.json"
INITIAL = "clip.initial"
MAX_SCALE = 100.0  # of the learned scale of the captions' loss; as CLIP's


@dataclass(frozen=True, kw_only=True)
class ClipRecipe:
    """How to train."""

    phase: Phase = field(
        default_factory=lambda: Phase(
            steps=3000, batch=64, lr=1e-3, warmup=150, weight_decay=0.05, measure_every=200
        )
    )
    size: ClipSize = field(default_factory=ClipSize)
    augmentation: Augmentation = field(default_factory=Augmentation)
    template: str = "a photo of a {c}"  # of the class names: the filter's
    scale: float = 100.0  # of the class loss: the filter's
    scale_start: float = 10.0  # of the class loss, at the first step
    scale_growth: float = 0.5  # share of the steps until it is `scale`; its logarithm grows evenly
    class_weight: float = 1.0
    head_weight: float = 0.5
    smoothing: float = 0.05  # of the class targets


class ClipWithHead(nn.Module):
    """A CLIPModel, and a linear layer from its image features to classes."""

    def __init__(self, clip: CLIPModel, num_classes: int) -> None:
        super().__init__()
        self.clip = clip
        # Zeros: no class is preferred at first, and no random number is needed.
        self.head = nn.Linear(clip.config.projection_dim, num_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def classify(self, features: Tensor) -> Tensor:
        """Logits (n, C) of unit image features (n, D), which are taken to a mean square of one first."""
        return self.head(features * features.shape[1] ** 0.5)


class ClipLearner(Learner):
    """A CLIPModel that learns from the part `train` of a corpus, on the CPU."""

    losses = ("loss", "caption_loss", "class_loss", "head_loss")

    def __init__(self, corpus: Corpus, recipe: ClipRecipe, *, seed: int) -> None:
        self.part, self.val = corpus.part("train"), corpus.part("val")
        check_corpus(self.part, self.val, recipe.size)
        self.recipe = recipe
        class_texts = [recipe.template.format(c=name) for name in corpus.class_names]
        captions, self._caption_of = np.unique(np.array(self.part.captions), return_inverse=True)
        self.tokenizer = train_tokenizer([*self.part.captions, *class_texts], merges=recipe.size.merges)
        # One table for both kinds of texts: first the different captions, then the class names.
        texts = [*captions.tolist(), *class_texts]
        self._tokens = tokenize(self.tokenizer, texts, length=recipe.size.text_length)
        self._class_rows = np.arange(len(captions), len(texts))
        number = int(item_rng(seed, INITIAL, 0).integers(0, 2**63 - 1))
        clip = build_model(recipe.size, self.tokenizer, seed=number)
        model = ClipWithHead(clip, len(corpus.class_names))
        super().__init__(model, recipe.phase, count=len(self.part), name="clip", seed=seed)

    def compute(self, rows: np.ndarray, generator: torch.Generator) -> tuple[Tensor, ...]:
        """All losses together, then each."""
        recipe, clip = self.recipe, self.model.clip
        with torch.no_grad():  # the learned scale of the step before, held as CLIP does
            clip.logit_scale.clamp_(max=math.log(MAX_SCALE))
        pictures = views(to_pixels(self.part.pictures[rows]), recipe.augmentation, generator)
        seen = unit(clip.get_image_features(pixel_values=to_input(pictures)).pooler_output)
        chosen, place = np.unique(self._caption_of[rows], return_inverse=True)
        told = unit(clip.get_text_features(**self._texts(chosen)).pooler_output)
        captions, classes = told[: len(chosen)], told[len(chosen) :]
        logits = clip.logit_scale.exp() * seen @ captions.T
        caption_loss = multi_positive_loss(logits, torch.from_numpy(place))
        labels, smoothing = torch.from_numpy(self.part.class_ids[rows]), recipe.smoothing
        class_logits = self._class_scale() * seen @ classes.T
        class_loss = F.cross_entropy(class_logits, labels, label_smoothing=smoothing)
        head_loss = F.cross_entropy(self.model.classify(seen), labels, label_smoothing=smoothing)
        total = caption_loss + recipe.class_weight * class_loss + recipe.head_weight * head_loss
        return total, caption_loss, class_loss, head_loss

    def _class_scale(self) -> float:
        """Of the class loss at this step."""
        recipe = self.recipe
        done = min(1.0, self.steps / max(1.0, recipe.scale_growth * recipe.phase.steps))
        return recipe.scale_start ** (1 - done) * recipe.scale**done

    def measure(self) -> dict[str, float]:
        """Figures of the running mean on the pictures held out."""
        scale = float(self.model.clip.logit_scale.detach().exp())
        return {"learned_scale": scale, **self.held_out().headline()}

    def held_out(self) -> HeldOut:
        """All of them, with those of each class."""
        rows = torch.from_numpy(self._class_rows)
        clip, tokens = self.mean.clip, {name: tensor[rows] for name, tensor in self._tokens.items()}
        return measure(clip, class_features(clip, tokens), self.val, scale=self.recipe.scale)

    def _texts(self, captions: np.ndarray) -> dict[str, Tensor]:
        """Tokens of some captions and of all class names, cut to the longest of them."""
        rows = torch.from_numpy(np.concatenate([captions, self._class_rows]))
        longest = int(self._tokens["attention_mask"][rows].sum(1).max())
        return {name: tensor[rows, :longest] for name, tensor in self._tokens.items()}


def check_corpus(part: Corpus, val: Corpus, size: ClipSize) -> None:
    """BadInput for a corpus that this model cannot learn from."""
    side = part.pictures.shape[1]
    if side != size.side:
        raise BadInput(f"the corpus has pictures of {side} pixels, the model {size.side}")
    if not len(part) or not len(val):
        raise BadInput("a corpus needs pictures of both splits, train and val")
    if len(part.class_names) < 2:
        raise BadInput("a classifier needs a corpus of at least 2 classes")


def multi_positive_loss(logits: Tensor, place: Tensor) -> Tensor:
    """InfoNCE both ways, where several pictures may have one text.

    logits: (pictures, texts), texts distinct. place: int64 (pictures,), the text of each. Picture to text is
    a cross-entropy; text to picture one whose target gives its pictures equal shares. With one picture for
    each text it is CLIP's loss.
    """
    to_text = F.cross_entropy(logits, place)
    shares = F.one_hot(place, logits.shape[1]).to(logits.dtype)
    shares = (shares / shares.sum(0, keepdim=True)).T
    return 0.5 * (to_text + F.cross_entropy(logits.T, shares))


def unit(features: Tensor) -> Tensor:
    """Rows of length one."""
    return F.normalize(features, dim=-1)


@dataclass(frozen=True, kw_only=True)
class ClipResult:
    """A trained model, its tokenizer, and what was measured on the way."""

    model: CLIPModel  # the running mean
    tokenizer: CLIPTokenizer
    rows: list[dict[str, Any]]  # of the curve
    held_out: HeldOut


def train(
    corpus: Corpus, recipe: ClipRecipe, *, seed: int, work: Path, out: Path, hooks: Hooks | None = None
) -> dict[str, Any]:
    """Train, or go on from the state in `work`; writes the files to `out`, returns training.json.

    Raises Stopped by way of `hooks.check_stop` when the state is on the disk; BadInput for a corpus without
    one of the splits or of another size, and for losses that are not finite.
    """
    learner = ClipLearner(corpus, recipe, seed=seed)
    rows = fit(learner, path=work / "clip.pt", hooks=hooks)
    result = ClipResult(model=learner.mean.clip.eval(), tokenizer=learner.tokenizer, rows=rows,
                        held_out=learner.held_out())  # fmt: skip
    write_folder(out / FOLDER, result.model, result.tokenizer)
    (out / CURVE).write_text(csv_text(rows), encoding="utf-8")
    facts = facts_of(result, corpus, recipe, seed=seed, weights=out / FOLDER / "model.safetensors")
    write_json(out / FACTS, facts)
    return facts


def facts_of(
    result: ClipResult, corpus: Corpus, recipe: ClipRecipe, *, seed: int, weights: Path
) -> dict[str, Any]:
    """What training.json holds."""
    held_out = asdict(result.held_out)
    return {
        "model": FOLDER,
        "recipe": asdict(recipe),
        "seed": seed,
        "parameters": num_parameters(result.model),
        "weights_bytes": weights.stat().st_size,
        "weights_sha256": file_digest(weights),
        "pictures": {split: len(corpus.part(split)) for split in ("train", "val")},
        "classes": list(corpus.class_names),
        "filter_scale": recipe.scale,
        "held_out": held_out,
    }
