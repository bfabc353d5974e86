"""A CLIP with random weights, small enough for tests, in a folder as transformers saves it."""

from experiments.imaginarynet.learn.clip_model import ClipSize, build_model, train_tokenizer, write_folder
from tests.imaginarynet.candidates import CLASSES

SIZE = ClipSize(
    side=16, patch=8, width=32, layers=2, heads=2, hidden=48, text_width=32, text_layers=2, text_heads=2,
    text_hidden=48, text_length=16, shared=16, merges=20,
)  # fmt: skip
TEXTS = [f"a photo of a {name}" for name in CLASSES]


def write_clip(folder, *, seed=0, size=SIZE):
    """The folder, written."""
    tokenizer = train_tokenizer(TEXTS, merges=size.merges)
    write_folder(folder, build_model(size, tokenizer, seed=seed), tokenizer)
    return folder
