"""A Llama model out of a GGUF file: settings, weights and tokenizer, read in one pass.

transformers reads such a file as well (`from_pretrained(folder, gguf_file=...)`). It goes through the file
three times and builds its table of names once a layer; this reader gives the same weights (tests) in a
fraction of the time, and splits digits as the model's own tokenizer does, which transformers 5.23 leaves out.
Weights become float32: 4-bit blocks of 32 with a scale and an offset (Q4_1), or 8-bit ones (Q8_0).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from suite.errors import BadInput

if TYPE_CHECKING:
    import torch
    from gguf import GGUFReader
    from tokenizers import Tokenizer
    from transformers import LlamaConfig, LlamaForCausalLM

CONTROL = 3  # token type of GGUF: stands for no text
NAMES = {  # of a layer: GGUF -> transformers
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def read_gguf(path: Path) -> tuple[LlamaForCausalLM, Tokenizer, tuple[int, ...]]:
    """(model in eval mode, float32; tokenizer; ids that end a text). Raises BadInput for another file."""
    import torch
    from gguf import GGUFReader
    from transformers import LlamaForCausalLM

    try:
        reader = GGUFReader(path)
        fields = {name: field.contents() for name, field in reader.fields.items()}
        known = (fields["general.architecture"], fields["tokenizer.ggml.model"])
        if known != ("llama", "gpt2"):
            raise ValueError(f"architecture and tokenizer are {known}")
        config = _config(fields)
        weights = _weights(reader, config)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        what = f"cannot be read as a Llama model ({error})"
        raise BadInput(what, file=path, fix="install its package again") from None
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    model.load_state_dict(weights, strict=False, assign=True)
    model.tie_weights()
    _fill_buffers(model)
    left = [name for name, value in model.state_dict().items() if value.is_meta]
    if left:
        raise BadInput(f"lacks the weights of {left[0]}", file=path, fix="install its package again")
    return model.eval(), _tokenizer(fields), _ends(fields)


def _config(fields: dict[str, Any]) -> LlamaConfig:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(fields["tokenizer.ggml.tokens"]),
        hidden_size=fields["llama.embedding_length"],
        intermediate_size=fields["llama.feed_forward_length"],
        num_hidden_layers=fields["llama.block_count"],
        num_attention_heads=fields["llama.attention.head_count"],
        num_key_value_heads=fields["llama.attention.head_count_kv"],
        max_position_embeddings=fields["llama.context_length"],
        rms_norm_eps=fields["llama.attention.layer_norm_rms_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": fields["llama.rope.freq_base"]},
        tie_word_embeddings=True,
        bos_token_id=fields["tokenizer.ggml.bos_token_id"],
        eos_token_id=fields["tokenizer.ggml.eos_token_id"],
    )


def _weights(reader: GGUFReader, config: LlamaConfig) -> dict[str, torch.Tensor]:
    """The parameters under the names of transformers, float32."""
    import torch
    from gguf import dequantize

    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    weights = {}
    for tensor in reader.tensors:
        part = tensor.name.removesuffix(".weight").split(".")
        array = dequantize(tensor.data, tensor.tensor_type)
        if part[0] == "blk":
            name = f"model.layers.{part[1]}.{NAMES[part[2]]}"
            array = _halves(array, heads[part[2]]) if part[2] in heads else array
        else:
            name = OUTSIDE[part[0]]
        weights[f"{name}.weight"] = torch.from_numpy(np.array(array, dtype=np.float32))
    return weights


def _halves(array: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a query or key projection (heads * d, n) as rotary embeddings by halves want them.

    GGUF keeps the two rows that are rotated together side by side; transformers keeps them d / 2 apart.
    """
    rows, columns = array.shape
    pairs = array.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


def _fill_buffers(model: LlamaForCausalLM) -> None:
    """The rotary frequencies, which are in no file."""
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    model.model.rotary_emb = LlamaRotaryEmbedding(config=model.config)


def _tokenizer(fields: dict[str, Any]) -> Tokenizer:
    """Byte-level BPE, digits one by one."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    merges = [tuple(pair.split(" ")) for pair in fields["tokenizer.ggml.merges"]]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, types, strict=True) if kind == CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    return tokenizer


def _ends(fields: dict[str, Any]) -> tuple[int, ...]:
    """Every control token: none of them is text, so none is gone on from."""
    types = fields["tokenizer.ggml.token_type"]
    return tuple(number for number, kind in enumerate(types) if kind == CONTROL)
