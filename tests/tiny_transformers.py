"""Tiny models of transformers, random, made on the spot; and tokenizers of a few words."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

START, END, UNKNOWN = "<s>", "</s>", "<unk>"


def _transformers() -> Any:
    transformers: Any = import_module("transformers")
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _llama(*, tied: bool) -> Any:
    t = _transformers()
    return t.LlamaForCausalLM(
        t.LlamaConfig(
            vocab_size=64,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            tie_word_embeddings=tied,
        )
    )


def _qwen2() -> Any:
    t = _transformers()
    return t.Qwen2ForCausalLM(
        t.Qwen2Config(
            vocab_size=64,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            tie_word_embeddings=True,
        )
    )


def _mixtral() -> Any:
    t = _transformers()
    return t.MixtralForCausalLM(
        t.MixtralConfig(
            vocab_size=64,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            num_local_experts=4,
            num_experts_per_tok=2,
            max_position_embeddings=64,
        )
    )


def _gpt2() -> Any:
    t = _transformers()
    return t.GPT2LMHeadModel(
        t.GPT2Config(vocab_size=64, n_positions=64, n_embd=16, n_layer=2, n_head=4)
    )


def _t5() -> Any:
    t = _transformers()
    return t.T5ForConditionalGeneration(
        t.T5Config(vocab_size=64, d_model=16, d_kv=4, d_ff=32, num_layers=2, num_heads=4)
    )


def _bert() -> Any:
    t = _transformers()
    return t.BertModel(
        t.BertConfig(
            vocab_size=64,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=32,
            max_position_embeddings=64,
        )
    )


FAMILIES: dict[str, Callable[[], Any]] = {
    "llama-tied": lambda: _llama(tied=True),
    "llama-untied": lambda: _llama(tied=False),
    "gpt2": _gpt2,
    "qwen2": _qwen2,
    "mixtral": _mixtral,
    "t5": _t5,
    "bert": _bert,
}
"""Name to what makes a model of that family."""


def tiny_model(family: str, dtype: torch.dtype = torch.float32) -> Any:
    """Make a random model, biases and all."""
    torch.manual_seed(3)
    model = FAMILIES[family]().to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape))
    return model


def tiny_tokenizer() -> Any:
    """Make a fast tokenizer of bytes with two merges."""
    tokenizers: Any = import_module("tokenizers")
    letters = sorted(
        set("abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUV.,".replace(" ", "\u0120"))
    )
    vocabulary = {token: i for i, token in enumerate([START, END, UNKNOWN, *letters, "th", "the"])}
    raw = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocabulary, [("t", "h"), ("th", "e")], unk_token=UNKNOWN)
    )
    raw.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = tokenizers.decoders.ByteLevel()
    return _transformers().PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token=START, eos_token=END, unk_token=UNKNOWN
    )


def save_folder(folder: Path, family: str, dtype: torch.dtype = torch.float32) -> Any:
    """Write a model and a tokenizer as ``save_pretrained`` does; return the model."""
    model = tiny_model(family, dtype)
    model.save_pretrained(folder)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{{ messages }}"
    tokenizer.save_pretrained(folder)
    return model
