"""The seed of every picture: a function of the run, the backend, the class and the number alone.

So a picture is the same whatever the number of workers and devices, the order and the fill of a batch.
The published code draws its seeds from one stream in the order of work (published code, `--seed`).
"""

from __future__ import annotations

import hashlib

SEED_BYTES = 8


def sample_seed(
    run_seed: int, backend: str, class_name: str, *, prompt_id: int | str, sample_idx: int = 0
) -> int:
    """An unsigned 64-bit seed: the first 8 bytes, big end first, of a SHA-256 over the five values.

    backend: what draws with it, e.g. "dalle-mini" or "stablediffusion". prompt_id: the prompt's number
    within its class. sample_idx: which of the pictures of one prompt.
    """
    text = f"{run_seed}|{backend}|{class_name}|{prompt_id}|{sample_idx}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:SEED_BYTES], "big")


def candidate_seed(
    run_seed: int, backend: str, class_name: str, *, number: int, samples_per_prompt: int = 1
) -> int:
    """The seed of a candidate by its number within its class.

    samples_per_prompt: so many candidates, one after the other, share a prompt.
    """
    prompt_id, sample_idx = divmod(number, samples_per_prompt)
    return sample_seed(run_seed, backend, class_name, prompt_id=prompt_id, sample_idx=sample_idx)
