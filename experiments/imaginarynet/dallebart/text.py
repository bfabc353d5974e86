"""Texts -> token ids of DalleBart: the normaliser, the byte-level BPE tokenizer, the unconditional pair.

    encoder = TextEncoder(read_tokenizer(folder), length=24, normalise=True)
    batch = encoder(["A photo of a red mug"])
    batch.ids, batch.mask  # int32 (1, 24) each

Source: published code of DALL-E mini (processor). Its normaliser splits hashtags by a list of English words
that it downloads; here a hashtag is one word. It replaces letters outside ASCII by a table of its own; here
accents are dropped and what then is no ASCII goes.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from experiments.imaginarynet.dallebart.config import TEXT_BOS, TEXT_EOS, TEXT_PAD
from suite.errors import BadInput, Missing

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER = "tokenizer.json"
VOCABULARY, MERGES = "vocab.json", "merges.txt"

# What must come through the step that turns punctuation into commas, and how it is kept meanwhile.
_KEEP = {".": "\x00", "'": "\x01", "/": "\x02"}
_QUOTES = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-"}


class Batch(NamedTuple):
    """Texts as the network takes them."""

    ids: np.ndarray  # int32 (B, T)
    mask: np.ndarray  # int32 (B, T), 1 for tokens, 0 for padding
    cut: int  # texts that were longer than T


@dataclass(frozen=True)
class TextEncoder:
    """A tokenizer with the length that every text is cut or padded to."""

    tokenizer: Tokenizer
    length: int  # tokens, begin and end among them
    normalise: bool = True

    def __post_init__(self) -> None:
        if self.length < 2:
            raise BadInput(f"{self.length} text tokens have no room for begin and end", fix="take at least 2")

    def __call__(self, texts: Sequence[str]) -> Batch:
        """Begin, the text's tokens, end, padding. A text that is too long loses its last tokens."""
        texts = [normalise(text) for text in texts] if self.normalise else list(texts)
        found = [e.ids for e in self.tokenizer.encode_batch(texts, add_special_tokens=False)]
        ids = np.full((len(texts), self.length), TEXT_PAD, np.int32)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(found):
            whole = [TEXT_BOS, *tokens[: self.length - 2], TEXT_EOS]
            ids[row, : len(whole)] = whole
            mask[row, : len(whole)] = 1
        return Batch(ids, mask, sum(len(tokens) > self.length - 2 for tokens in found))


def unconditional(batch: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The empty text: (ids, mask), int32 (B, T): begin and end, which stay unmasked, then padding."""
    ids = np.full((batch, length), TEXT_PAD, np.int32)
    mask = np.zeros_like(ids)
    ids[:, :2], mask[:, :2] = (TEXT_BOS, TEXT_EOS), 1
    return ids, mask


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of `folder`: tokenizer.json, or vocab.json with merges.txt (byte-level BPE).

    Raises Missing where neither is there, BadInput where it is damaged or has other special tokens.
    """
    from tokenizers import Tokenizer

    path = folder / TOKENIZER
    if path.is_file():
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
            raise BadInput(
                f"cannot be read as a tokenizer ({' '.join(str(error).split())[:80]})",
                file=path,
                fix="fetch or make it again",
            ) from None
    else:
        path = folder / VOCABULARY
        tokenizer = _from_merges(path, folder / MERGES)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    for name, number in (("<s>", TEXT_BOS), ("<pad>", TEXT_PAD), ("</s>", TEXT_EOS)):
        if tokenizer.token_to_id(name) != number:
            raise BadInput(f"token {name} is not number {number}", file=path, fix="take the model's own file")
    return tokenizer


def tokenizer_digest(folder: Path) -> str:
    """SHA-256, hex, of the files that `read_tokenizer` reads from a folder."""
    digest = hashlib.sha256()
    for name in (TOKENIZER,) if (folder / TOKENIZER).is_file() else (VOCABULARY, MERGES):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def _from_merges(vocabulary: Path, merges: Path) -> Tokenizer:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    for path in (vocabulary, merges):
        if not path.is_file():
            raise Missing(
                "no such file", file=path, fix=f"put {TOKENIZER}, or {VOCABULARY} and {MERGES}, there"
            )
    try:
        table = json.loads(vocabulary.read_text(encoding="utf-8"))
        lines = merges.read_text(encoding="utf-8").splitlines()
        pairs = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
        tokenizer = Tokenizer(models.BPE(vocab=table, merges=pairs))
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        what = f"cannot be read as byte-level BPE ({' '.join(str(error).split())[:80]})"
        raise BadInput(what, file=vocabulary, fix="fetch it again") from None
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = [name for name in ("<s>", "<pad>", "</s>", "<unk>", "<mask>") if name in table]
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names])
    return tokenizer


def normalise(text: str) -> str:
    """One plain lower-case line that begins with a space; punctuation becomes commas."""
    for mark, plain in _QUOTES.items():
        text = text.replace(mark, plain)
    text = html.unescape(html.unescape(text))
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    text = re.sub(r"[\x00-\x1f\x7f]", " ", text)
    text = re.sub(r"<[^<>]+>|http\S+", " ", text)
    for _ in range(2):  # 1,234,567: a match takes the digits that the next one needs
        text = re.sub(r"(\d),(\d{3})", r"\1\2", text)
    text = re.sub(r"(?<=\w)\.(?=\w)", _KEEP["."], text)
    text = re.sub(r"'(?=(?:[stdm]|ll|re|ve)\b)", _KEEP["'"], text)
    text = re.sub(r"(?<=\d)/(?=\d)", _KEEP["/"], text)
    text = re.sub(r"(?<=\w)-(?=\w)", " ", text)
    text = re.sub(r"[%&/$*]", r" \g<0> ", text)
    text = re.sub(r"[_#\\]", " ", text)
    text = re.sub(r"['\"`]", ' " ', text)
    text = re.sub(r"[()\[\].,|:;?!=+~\-/{}]", ",", text)
    for mark, kept in _KEEP.items():
        text = text.replace(kept, mark)
    text = re.sub(r"(\D)\1{3,}", r"\1", text)
    text = re.sub(r"(?:\s*\"+\s*)+", ' " ', text)
    text = re.sub(r"(?:\s*,+\s*)+", ", ", text)
    text = re.sub(r"\s+", " ", text).strip()
    return " " + text.removesuffix(",").removeprefix(",").strip()
