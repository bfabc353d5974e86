"""DalleBart here against PyPI dalle-mini 0.1.5 on the same random weights, in one process.

    python -m tests.imaginarynet.parity.compare FILE.csv    # in the environment of README.md

Columns: size of the network, layout of the published tree, what is compared, the largest absolute
difference (or the share that is equal), and the standard deviation of what is compared.
"""

import csv
import dataclasses
import sys
import tempfile
from pathlib import Path

import tests.imaginarynet.parity.shims  # noqa: F401 - before dalle_mini  # isort: skip
import jax
import jax.numpy as jnp
import numpy as np
from dalle_mini.model import text as published_text
from dalle_mini.model.configuration import DalleBartConfig as PublishedConfig
from dalle_mini.model.modeling import DalleBart
from dalle_mini.model.tokenizer import DalleBartTokenizer
from tokenizers import ByteLevelBPETokenizer

from experiments.imaginarynet.dallebart import checkpoint, model, sampler
from experiments.imaginarynet.dallebart.config import DalleBartConfig
from experiments.imaginarynet.dallebart.text import TextEncoder, normalise, read_tokenizer, unconditional
from tests.imaginarynet.parity.texts import TEXTS

SIZES = {
    "d 64, 2+2 layers": DalleBartConfig(
        width=64, heads=4, encoder_layers=2, decoder_layers=2, glu_width=96, text_vocab=300, image_vocab=64,
        text_length=16, image_length=16, decoder_start=64,
    ),
    "d 256, 3+4 layers": DalleBartConfig(
        width=256, heads=4, encoder_layers=3, decoder_layers=4, glu_width=384, text_vocab=500,
        image_vocab=516, text_length=24, image_length=64, decoder_start=512,
    ),
}  # fmt: skip
BATCH, SCALE = 3, 10.0
COLUMNS = ("size", "layout", "what", "value", "std")


def published_config(config, *, stacked):
    """The same sizes as the published class takes them."""
    return PublishedConfig(
        d_model=config.width, encoder_attention_heads=config.heads, decoder_attention_heads=config.heads,
        encoder_layers=config.encoder_layers, decoder_layers=config.decoder_layers,
        encoder_ffn_dim=config.glu_width, decoder_ffn_dim=config.glu_width,
        encoder_vocab_size=config.text_vocab, image_vocab_size=config.image_vocab,
        image_length=config.image_length, max_text_length=config.text_length,
        decoder_start_token_id=config.decoder_start, bos_token_id=config.image_vocab,
        eos_token_id=config.image_vocab, pad_token_id=config.image_vocab, init_std=0.1, use_scan=stacked,
        gradient_checkpointing=False,
    )  # fmt: skip


def moved(params, seed):
    """Our tree with every norm away from the identity, so that a scale or a bias in a wrong place shows."""
    rng = np.random.default_rng(seed)
    return jax.tree_util.tree_map(
        lambda a: a + 0.2 * rng.normal(size=a.shape).astype("f4") if a.ndim == 1 else 5 * a, params
    )


def texts_of(config):
    """(ids, mask) of random texts of different lengths."""
    rng = np.random.default_rng(1)
    ids, mask = unconditional(BATCH, config.text_length)
    for row in range(BATCH):
        count = 3 + 4 * row
        ids[row, : count + 2] = [0, *rng.integers(3, config.text_vocab, count), 2]
        mask[row, : count + 2] = 1
    return ids, mask


def difference(ours, theirs):
    """(largest absolute difference, standard deviation of theirs)."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    return np.abs(ours - theirs).max(), theirs.std()


def compare_size(name, config, *, stacked):
    """Rows for one size and one layout."""
    layout = "stacked" if stacked else "per layer"
    theirs = DalleBart(published_config(config, stacked=stacked), seed=0, _do_init=True)
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        read, params = checkpoint.load_model(Path(folder))
    read = dataclasses.replace(read, init_std=config.init_std)
    yield name, layout, "settings read from the saved config.json are equal", float(read == config), ""
    yield name, layout, "parameters, theirs", theirs.num_params(theirs.params), ""
    yield name, layout, "parameters, ours", model.count(params), ""
    for what, value, std in compare_outputs(config, theirs, theirs.params, params):
        yield name, layout, f"their weights in ours: {what}", value, std
    mine = moved(jax.tree_util.tree_map(np.asarray, model.init_params(config, jax.random.PRNGKey(5))), 3)
    given = checkpoint.to_published(mine, config, stacked=stacked)
    for what, value, std in compare_outputs(config, theirs, given, mine):
        yield name, layout, f"our weights in theirs: {what}", value, std
    if stacked:  # compiled anew at every call, and the layouts differ in nothing else
        share, count = greedy(config, theirs, given, mine)
        what = (
            f"our weights in theirs: equal greedy codes, scale {SCALE:g}, up to a special id ({count} codes)"
        )
        yield name, layout, what, share, ""


def compare_outputs(config, theirs, their_params, params):
    """(what, value, std) of the encoder and of the logits, computed in several ways."""
    ids, mask = texts_of(config)
    codes = np.random.default_rng(4).integers(0, config.codebook, (BATCH, config.image_length))
    codes_in = np.asarray(model.shift_right(jnp.asarray(codes, jnp.int32), config))
    logits_of = jax.jit(model.logits, static_argnums=1)
    encoded = theirs.encode(ids, attention_mask=mask, params=their_params)
    found = jax.jit(model.encode, static_argnums=1)(params, config, ids, mask)
    yield "encoder", *difference(found[mask == 1], encoded[0][mask == 1])
    mixed = []
    for text_ids, text_mask in ((ids, mask), unconditional(BATCH, config.text_length)):
        logits = theirs(
            text_ids, attention_mask=text_mask, decoder_input_ids=codes_in, params=their_params
        ).logits
        mixed.append((logits_of(params, config, text_ids, text_mask, codes_in), logits))
    (ours_c, theirs_c), (ours_u, theirs_u) = mixed
    yield "logits", *difference(ours_c, theirs_c)
    yield "logits of the empty text", *difference(ours_u, theirs_u)
    trimmed = int(mask.sum(1).max())
    short = logits_of(params, config, ids[:, :trimmed], mask[:, :trimmed], codes_in)
    yield "logits of the trimmed text", *difference(short, theirs_c)
    yield "logits with the cache", *difference(cached(config, params, ids, mask, codes_in), theirs_c)


def cached(config, params, ids, mask, codes_in):
    """Our logits, one position after the other."""
    crossed = model.crossed_memories(params, config, model.encode(params, config, ids, mask))
    hidden, past, out = model.hide_text(jnp.asarray(mask)), model.empty_past(config, BATCH, jnp.float32), []
    step = jax.jit(model.decode_step, static_argnums=1)
    for position in range(config.image_length):
        x, past = step(
            params, config, jnp.asarray(codes_in[:, position]), jnp.int32(position), past=past,
            crossed=crossed, hidden=hidden,
        )  # fmt: skip
        out.append(model.head(params, x))
    return np.stack(out, 1)


def greedy(config, theirs, their_params, params):
    """(share of equal codes, number compared); top-k 1 leaves nothing to chance."""
    ids, mask = texts_of(config)
    empty, empty_mask = unconditional(BATCH, config.text_length)
    sequences = theirs.generate(
        ids, attention_mask=mask, input_ids_uncond=empty, attention_mask_uncond=empty_mask,
        params=their_params, prng_key=jax.random.PRNGKey(0), do_sample=True, num_beams=1, top_k=1, top_p=1.0,
        temperature=1.0, condition_scale=SCALE,
    ).sequences[:, 1:]  # fmt: skip
    seeds = np.zeros(BATCH, np.uint64)
    ours = np.asarray(sampler.sample(params, config, ids, mask, seeds, condition_scale=SCALE, top_k=1))
    before = np.cumsum(np.asarray(sequences) >= config.codebook, axis=1) == 0
    return (ours == np.asarray(sequences))[before].mean(), int(before.sum())


def compare_texts():
    """Rows for the normaliser and the tokenizer."""
    # It fetches a list of words for hashtags when it is made; no text here has one.
    published_text.HashtagProcessor = lambda: lambda word: word
    theirs = published_text.TextNormalizer()
    same = [normalise(text) == theirs(text) for text in TEXTS]
    yield "texts", "", f"equal normalised texts of {len(TEXTS)}", np.mean(same), ""
    with tempfile.TemporaryDirectory() as folder:
        made = ByteLevelBPETokenizer()
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        made.train_from_iterator(TEXTS, vocab_size=400, special_tokens=special)
        made.save_model(folder)
        published = DalleBartTokenizer(f"{folder}/vocab.json", f"{folder}/merges.txt")
        wanted = published(
            list(TEXTS), padding="max_length", truncation=True, max_length=24, return_tensors="np"
        )
        for source in ("vocab.json and merges.txt", "tokenizer.json"):
            found = TextEncoder(read_tokenizer(Path(folder)), length=24, normalise=False)(TEXTS)
            same = (found.ids == wanted["input_ids"]) & (found.mask == wanted["attention_mask"])
            yield "texts", "", f"equal token ids, {source}", same.mean(), ""
            published.save_pretrained(folder)


def main(path):
    """Write all rows to `path`."""
    rows = [row for name, config in SIZES.items() for stacked in (True, False)
            for row in compare_size(name, config, stacked=stacked)]  # fmt: skip
    rows += compare_texts()
    with Path(path).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for *names, value, std in rows:
            std = f"{std:.3g}" if std != "" else ""
            writer.writerow([*names, f"{value:.10g}" if value >= 1 else f"{value:.3g}", std])


if __name__ == "__main__":
    main(sys.argv[1])
