"""The words of the tiny DalleBart: byte-level BPE learnt from captions, with the published special tokens.

Every text can be written in it (all 256 bytes are tokens), so a word that no caption has costs tokens, never
an error. Captions go through the normaliser of dallebart/text.py first, as prompts do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.imaginarynet.dallebart.text import TOKENIZER, normalise
from suite.errors import BadInput

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")  # ids 0 to 4, as in the published tokenizer
NUM_BYTES = 256


@dataclass(frozen=True, kw_only=True)
class TokenizerRecipe:
    """How large it may become, and how often a pair must occur to become a token."""

    vocabulary: int = 600
    min_frequency: int = 3

    def __post_init__(self) -> None:
        least = len(SPECIAL) + NUM_BYTES
        if self.vocabulary < least:
            raise BadInput(f"vocabulary {self.vocabulary}: bytes and special tokens need {least}")


def learn_tokenizer(captions: Sequence[str], recipe: TokenizerRecipe) -> Tokenizer:
    """A tokenizer of at most `recipe.vocabulary` tokens. Raises BadInput without a caption."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    if not captions:
        raise BadInput("there are no captions to learn words from", fix="check --corpus")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary, min_frequency=recipe.min_frequency, special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(map(normalise, captions), trainer)
    return tokenizer


def train(captions: Sequence[str], recipe: TokenizerRecipe, *, out: Path) -> dict[str, Any]:
    """Write `out`/tokenizer.json; returns what there is to say about it."""
    tokenizer = learn_tokenizer(captions, recipe)
    (out / TOKENIZER).write_text(tokenizer.to_str(pretty=True) + "\n", encoding="utf-8")
    lengths = [len(tokenizer.encode(normalise(caption)).ids) + 2 for caption in captions]
    return {
        "tokens": tokenizer.get_vocab_size(),
        "captions": len(captions),
        "longest_caption": max(lengths),  # in tokens, with begin and end
        "mean_caption": sum(lengths) / len(lengths),
    }
