"""Pictures per second of our batched sampler against the published procedure, on random weights.

    python -m benchmarks.text_to_image                           # the size of embedded-tiny, batch 16
    python -m benchmarks.text_to_image --size medium --repeats 2
    python -m benchmarks.text_to_image --size mini --device cuda --dtype float16 --batch 64 --pixels

Run it in the jax environment. The ways:

    published   one prompt after the other, two passes, keys of the text at every step
                (text_to_image_reference.py)
    ours        all prompts in one batch, both passes in it, keys of the text once, one key per picture
    + pixels    the same with the image tokenizer's decoder in the same program (--pixels)

Before anything is timed, both draw greedily (top-k 1) from the same weights and the share of equal codes is
shown. First calls, which compile, are shown apart. Then the ways take turns, so that a busy machine slows
all; the medians are shown.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from experiments.imaginarynet.dallebart.config import MINI, TINY, DalleBartConfig
from experiments.imaginarynet.images.devices import setup
from suite.errors import guard

MEDIUM = DalleBartConfig(
    width=256, heads=4, encoder_layers=4, decoder_layers=4, glu_width=512, text_vocab=1000,
    image_vocab=1024, text_length=64, image_length=256, decoder_start=1024,
)  # fmt: skip
SIZES = {"tiny": TINY, "medium": MEDIUM, "mini": MINI}
TOP_K, SCALE = 50, 10.0


def main() -> None:
    """Read the command line, compare, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--pixels", action="store_true", help="also decode the pictures")
    parser.add_argument("--ours-only", action="store_true", help="leave the published procedure out")
    args = parser.parse_args()
    device = setup(threads=args.threads, device=args.device)[0]
    print(f"{platform.processor() or platform.machine()}, {args.threads} threads, {device.device_kind}")
    ways = make_ways(args)
    first = {name: timed(way) for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.repeats):
        for name, way in ways.items():
            seconds[name].append(timed(way))
    base = statistics.median(next(iter(seconds.values())))
    for name, taken in seconds.items():
        middle = statistics.median(taken)
        print(
            f"{name:10s} {args.batch / middle:9.2f} pictures/s  ratio {base / middle:6.2f}  "
            f"first call {first[name]:6.1f} s  of {len(taken)}: {min(taken):.3f} to {max(taken):.3f} s"
        )
    print_memory(device)


def make_ways(args: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """{name: one call that draws the batch and waits for it}; says how far the two agree."""
    import jax

    from benchmarks.text_to_image_reference import sample_all
    from experiments.imaginarynet.dallebart import model
    from experiments.imaginarynet.dallebart.sampler import sample

    config = replace(SIZES[args.size], init_std=0.05)
    params = jax.jit(lambda key: model.cast(model.init_params(config, key), args.dtype))(jax.random.key(0))
    print(f"{args.size}: {config.count_parameters():,} parameters, {config.image_length} codes, {args.dtype}")
    ids, mask = random_texts(config, args.batch)
    seeds = np.arange(args.batch, dtype=np.uint64)
    ways: dict[str, Callable[[], object]] = {}
    if not args.ours_only:
        theirs = sample_all(params, config, ids, mask, scale=SCALE, top_k=1)
        ours = sample(params, config, ids, mask, seeds, condition_scale=SCALE, top_k=1)
        before = np.cumsum(theirs >= config.codebook, axis=1) == 0  # published: special ids may be drawn
        share = (np.asarray(ours) == theirs)[before].mean()
        print(f"greedy: {share:.4f} of {before.sum()} codes are equal")
        ways["published"] = lambda: sample_all(params, config, ids, mask, scale=SCALE, top_k=TOP_K)
    ways["ours"] = lambda: np.asarray(
        sample(params, config, ids, mask, seeds, condition_scale=SCALE, top_k=TOP_K)
    )
    if args.pixels:
        ways["+ pixels"] = with_pixels(config, params, ids, mask, seeds)
    return ways


def with_pixels(
    config: DalleBartConfig, params: object, ids: np.ndarray, mask: np.ndarray, seeds: np.ndarray
) -> Callable[[], object]:
    """Codes and pixels in one program, with an image tokenizer of the model's codebook."""
    import jax
    import jax.numpy as jnp

    from experiments.imaginarynet.dallebart import sampler
    from experiments.imaginarynet.vqgan import params as vqgan_params
    from experiments.imaginarynet.vqgan.config import EMBEDDED, F16_16384
    from experiments.imaginarynet.vqgan.model import decode_codes

    base = EMBEDDED if config.image_length == EMBEDDED.num_codes else F16_16384
    vqgan = replace(base, n_embed=config.codebook)
    weights = vqgan_params.init(vqgan, jax.random.key(1))
    sampling = sampler.Sampling(condition_scale=SCALE, top_k=TOP_K)

    def paint(params, weights, ids, mask, words):
        codes = sampler.draw(params, ids, mask, words, config=config, sampling=sampling)
        return (decode_codes(weights, vqgan, codes) * 255).astype(jnp.uint8)

    compiled = jax.jit(paint)
    words = sampler.split_seeds(seeds)
    return lambda: np.asarray(compiled(params, weights, jnp.asarray(ids), jnp.asarray(mask), words))


def random_texts(config: DalleBartConfig, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """(ids, mask) of texts of 8 to 16 tokens, padded to all that the model has, int32 (B, T)."""
    rng = np.random.default_rng(0)
    ids, mask = (
        np.ones((batch, config.text_length), np.int32),
        np.zeros((batch, config.text_length), np.int32),
    )
    for row in range(batch):
        count = int(rng.integers(6, 15))
        ids[row, : count + 2] = [0, *rng.integers(3, config.text_vocab, count), 2]
        mask[row, : count + 2] = 1
    return ids, mask


def timed(way: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    way()
    return time.perf_counter() - began


def print_memory(device: object) -> None:
    """The peak of the device, where it tells one, and of the process."""
    stats = getattr(device, "memory_stats", lambda: None)() or {}
    if "peak_bytes_in_use" in stats:
        print(f"peak memory of the device {stats['peak_bytes_in_use'] / 2**20:.0f} MB")
    print(f"peak memory of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    raise SystemExit(guard(main))
