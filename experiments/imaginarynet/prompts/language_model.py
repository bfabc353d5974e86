"""A causal language model that continues one text many times at once, each with a generator of its own.

    model = LanguageModel.load("packaged", config.prompts, device="cpu")
    model.continue_text("A photo of mug", [11, 12, 13], batch=32)

The prefix is read once, its keys and values are shared out to the rows of the batch. Every call of the model
has the shape of a full batch, filled up where fewer texts are wanted: so no text depends on how many others
are drawn. Sampling as the published text-generation pipeline does it: temperature, then the `top_k` most
likely tokens, then the fewest of these that hold `top_p`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from experiments.imaginarynet.config_sections import PromptsConfig
from experiments.imaginarynet.models import PACKAGED, find_model, model_digest
from experiments.imaginarynet.prompts.make import ENDS, uniforms
from suite.errors import BadInput

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, kw_only=True)
class TextCodec:
    """The tokenizer, whatever it comes from."""

    encode: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]  # without special tokens
    ends: tuple[int, ...]  # ids that end a text


class LanguageModel:
    """Continues texts. No global generator is used."""

    def __init__(
        self,
        network: PreTrainedModel,
        codec: TextCodec,
        config: PromptsConfig,
        *,
        source: str = "lm",
        digest: str = "",
    ) -> None:
        """network: on its device, in eval mode. digest: SHA-256 of the weights, for the manifest."""
        self.network, self.codec, self.config = network, codec, config
        self.source, self.digest = source, digest
        self.device = next(network.parameters()).device

    @classmethod
    def load(cls, name: str, config: PromptsConfig, *, device: str) -> LanguageModel:
        """The packaged model, or one from a folder of the hub's form. Raises Missing, BadInput."""
        folder = find_model("lm", name)
        network, codec = _packaged(folder) if name == PACKAGED else _from_folder(folder)
        place = torch.device(device)
        return cls(network.to(place), codec, config, source=f"lm:{name}", digest=model_digest(folder))

    def continue_text(self, prefix: str, seeds: Sequence[int], *, batch: int) -> list[str]:
        """What follows the prefix, once for each seed, decoded and not cut; `batch` rows a call.

        Raises BadInput where the prefix alone has `max_length` tokens.
        """
        ids = self.codec.encode(prefix)
        room = self.config.max_length - len(ids)
        if room < 1:
            what = f"{prefix!r} has {len(ids)} tokens already, prompts.max_length is {self.config.max_length}"
            raise BadInput(what, fix=f"set prompts.max_length to {len(ids) + 1} or more")
        texts: list[str] = []
        for start in range(0, len(seeds), batch):
            part = list(seeds[start : start + batch])
            full = part + part[:1] * (batch - len(part))
            rows = self._sample(ids, uniforms(full, room))
            texts += [self._rest(ids, row) for row in rows[: len(part)]]
        return texts

    @torch.inference_mode()
    def _sample(self, ids: list[int], noise: np.ndarray) -> list[list[int]]:
        """New ids of every row, up to and without the one that ends it. noise: float64 (batch, tokens)."""
        batch, room = noise.shape
        output = self.network(torch.tensor([ids], device=self.device), use_cache=True)
        cache = output.past_key_values
        cache.batch_repeat_interleave(batch)
        logits = output.logits[:, -1].expand(batch, -1)
        rows: list[list[int]] = [[] for _ in range(batch)]
        is_open = np.ones(batch, dtype=bool)
        for step in range(room):
            chosen = choose(logits, noise[:, step], self.config)
            is_open &= ~np.isin(chosen, self.codec.ends)
            for row in np.flatnonzero(is_open):
                rows[row].append(int(chosen[row]))
                is_open[row] = not self._is_cut(rows[row])
            if not is_open.any() or step == room - 1:
                break
            tokens = torch.from_numpy(chosen).to(self.device)[:, None]
            logits = self.network(tokens, past_key_values=cache, use_cache=True).logits[:, -1]
        return rows

    def _is_cut(self, row: list[int]) -> bool:
        """Whether what is drawn already reaches to where the text will be cut."""
        return any(end in self.codec.decode(row[-1:]) for end in ENDS)

    def _rest(self, ids: list[int], row: list[int]) -> str:
        """The text of the new tokens; decoded behind the old ones, as the published pipeline does."""
        return self.codec.decode(ids + row)[len(self.codec.decode(ids)) :]


def choose(logits: torch.Tensor, noise: np.ndarray, config: PromptsConfig) -> np.ndarray:
    """One token a row, int64 (B,): the inverse of the distribution function at `noise`, float64 (B,).

    logits: (B, vocabulary). Tokens are ordered from the most to the least likely.
    """
    size = logits.shape[-1]
    count = min(config.top_k, size) if config.top_k else size
    values, tokens = torch.topk(logits.float(), count, dim=-1)
    scores = values.cpu().numpy().astype(np.float64) / config.temperature
    weights = np.exp(scores - scores[:, :1])
    cumulated = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    if config.top_p < 1:  # as many as it takes to reach top_p; the first one always
        counts = 1 + (cumulated[:, :-1] < config.top_p).sum(axis=1)
    else:
        counts = np.full(len(scores), count)
    last = np.take_along_axis(cumulated, counts[:, None] - 1, axis=1)[:, 0]
    places = (cumulated <= (noise * last)[:, None]).sum(axis=1)
    places = np.minimum(places, counts - 1)
    return np.take_along_axis(tokens.cpu().numpy(), places[:, None], axis=1)[:, 0]


def _packaged(folder: Path) -> tuple[PreTrainedModel, TextCodec]:
    from experiments.imaginarynet.prompts.gguf_model import read_gguf

    network, tokenizer, ends = read_gguf(next(folder.glob("*.gguf")))
    return network, TextCodec(
        encode=lambda text: tokenizer.encode(text).ids,
        decode=lambda ids: tokenizer.decode(ids, skip_special_tokens=True),
        ends=ends,
    )


def _from_folder(folder: Path) -> tuple[PreTrainedModel, TextCodec]:
    """A folder as the hub has it; safetensors only, no code of the folder is run."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    fix = "put the published files there again"
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        network, report = AutoModelForCausalLM.from_pretrained(
            folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **options
        )
    except Exception as error:  # noqa: BLE001 - a damaged tokenizer.json raises nothing narrower
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        what = f"cannot be loaded as a causal language model ({said})"
        raise BadInput(what, file=folder, fix=fix) from None
    # transformers fills what it misses with random numbers, and only warns.
    if missing := sorted(report["missing_keys"]):
        raise BadInput(f"lacks {len(missing)} tensors of the model, {missing[0]} first", file=folder, fix=fix)
    ends = (network.generation_config.eos_token_id, network.config.eos_token_id, tokenizer.eos_token_id)
    flat = {i for one in ends for i in (one if isinstance(one, (list, tuple)) else (one,)) if i is not None}
    return network.eval(), TextCodec(
        encode=lambda text: tokenizer(text)["input_ids"],
        decode=lambda ids: tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        ),
        ends=tuple(sorted(flat)),
    )
