"""Small models of transformers: what hooks on their modules see, and the experts besides."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from artpack.calibration.usage import discover
from artpack.runners.places import places
from tests.calibration.sums import Reference, assert_same_sums, collected, draw, frozen

transformers = pytest.importorskip("transformers")

SMALL = {
    "vocab_size": 61,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "max_position_embeddings": 32,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GROUPED = {**SMALL, "num_key_value_heads": 1}
EXPERTS = {**GROUPED, "num_local_experts": 3, "num_experts_per_tok": 2, "head_dim": 8}
IDS = torch.randint(3, 61, (2, 7), generator=torch.Generator().manual_seed(0))

MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "Llama": ("LlamaConfig", "AutoModelForCausalLM", GROUPED),
    "Llama, tied": ("LlamaConfig", "AutoModelForCausalLM", GROUPED | {"tie_word_embeddings": True}),
    "Qwen2": ("Qwen2Config", "AutoModelForCausalLM", GROUPED),
    "Gemma2": ("Gemma2Config", "AutoModelForCausalLM", GROUPED | {"head_dim": 8}),
    "Phi3": ("Phi3Config", "AutoModelForCausalLM", GROUPED),
    "GPT-NeoX": ("GPTNeoXConfig", "AutoModelForCausalLM", SMALL),
    "GPT-2": ("GPT2Config", "AutoModelForCausalLM", SMALL),
    "Mixtral": ("MixtralConfig", "AutoModelForCausalLM", EXPERTS),
    "gpt-oss": ("GptOssConfig", "AutoModelForCausalLM", EXPERTS),
    "Llama 4": (
        "Llama4TextConfig",
        "AutoModelForCausalLM",
        EXPERTS | {"intermediate_size_mlp": 24, "num_experts_per_tok": 1},
    ),
    "BERT": ("BertConfig", "AutoModelForMaskedLM", SMALL),
    "T5": (
        "T5Config",
        "AutoModelForSeq2SeqLM",
        {"vocab_size": 61, "d_model": 16, "d_kv": 8, "d_ff": 20, "num_layers": 2, "num_heads": 2},
    ),
    "Whisper": (
        "WhisperConfig",
        "AutoModelForSpeechSeq2Seq",
        {
            "vocab_size": 61,
            "d_model": 16,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "num_mel_bins": 8,
            "encoder_ffn_dim": 20,
            "decoder_ffn_dim": 20,
            "max_source_positions": 14,
            "max_target_positions": 16,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 1,
        },
    ),
}


def make(name: str) -> tuple[Any, Callable[[], Tensor]]:
    """Return a model, and what runs it to its logits."""
    config, auto, options = MODELS[name]
    torch.manual_seed(0)
    try:
        made = getattr(transformers, config)(**options)
    except AttributeError:
        pytest.skip(f"this version of transformers has no {config}")
    model = frozen(getattr(transformers, auto).from_config(made, attn_implementation="eager"))
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")  # torch groups no products in float64
    inputs: dict[str, Tensor] = {"input_ids": IDS}
    if auto == "AutoModelForSeq2SeqLM":
        inputs["decoder_input_ids"] = IDS.flip(1)
    if auto == "AutoModelForSpeechSeq2Seq":
        inputs = {"input_features": draw(2, 8, 28), "decoder_input_ids": IDS}
    return model, lambda: model(**inputs).logits


def stored(model: nn.Module) -> dict[str, Tensor]:
    """Return the places of a model's tensors, each under one name, and experts one by one."""
    tied = getattr(model, "all_tied_weights_keys", None) or {}
    found = {name: place for name, place in places(model).items() if name not in tied}
    for name, stack in list(found.items()):
        if "experts" in name and stack.ndim == 3:
            del found[name]
            found |= {f"{name}.{i}": one for i, one in enumerate(stack)}
    return found


class Hooked:
    """Sums that hooks on modules collect."""

    def __init__(self, model: nn.Module, names: dict[str, Tensor]) -> None:
        self.by_address = {place.data_ptr(): name for name, place in names.items()}
        self.reference, self.zeros = Reference(), list[tuple[str, Tensor, Tensor | None, int]]()
        conv1d = transformers.pytorch_utils.Conv1D
        for module in model.modules():
            if type(module).forward in {nn.Linear.forward, nn.Embedding.forward, conv1d.forward}:
                module.register_forward_hook(self.see)

    def see(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Add a zero that gets the output's gradient."""
        weight = module.get_parameter("weight")
        name = self.by_address[weight.data_ptr()]
        zero = torch.zeros_like(output, requires_grad=True)
        table = isinstance(module, nn.Embedding)
        if not table:
            self.reference.inputs(name, args[0])
        self.zeros.append((name, zero, args[0] if table else None, len(weight)))
        return output + zero

    def sums(self) -> dict[str, Tensor]:
        """Return the sums once the gradients are there."""
        for name, zero, index, rows in self.zeros:
            assert zero.grad is not None
            if index is None:
                self.reference.gradients(name, zero.grad)
            else:
                self.reference.looked_up(name, index, rows, zero.grad)
        return self.reference.sums


@pytest.mark.parametrize("name", MODELS)
def test_all_that_hooks_see_and_more(name: str) -> None:
    model, run = make(name)
    found = stored(model)
    usage = discover(found, run)
    assert not usage.unseen
    turned = {
        name: place.mT if name in usage.transposed else place for name, place in found.items()
    }
    g = draw(*run().shape, seed=1)
    got = collected(turned, run, g)
    names = {full.split(" ")[1] for full in got}
    assert names == {name for name, place in found.items() if place.ndim > 1}
    hooked = Hooked(model, found)
    torch.autograd.backward(run(), g)
    expected = hooked.sums()
    assert_same_sums({full: got[full] for full in expected}, expected)


def test_what_is_stored_the_other_way_round_is_told() -> None:
    model, run = make("GPT-2")
    usage = discover(stored(model), run)
    layers = [f"transformer.h.{i}." for i in range(2)]
    kinds = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    assert usage.transposed == {f"{layer}{kind}.weight" for layer in layers for kind in kinds}
    assert usage.matrices == {"transformer.wte.weight"}
    assert usage.tables == {"transformer.wte.weight", "transformer.wpe.weight"}


@pytest.mark.parametrize("how", ["eager", "grouped_mm"])
def test_each_expert_sees_the_tokens_that_it_is_chosen_for(how: str) -> None:
    model, run = make("Mixtral")
    if not hasattr(model, "set_experts_implementation"):
        pytest.skip("this version of transformers has one way to run experts")
    model.float().set_experts_implementation(how)
    expected = Reference()

    def see(name: str, args: tuple[Tensor, ...]) -> None:
        tokens, chosen = args[:2]
        for expert in range(3):
            hit = (chosen == expert).any(-1)
            expected.inputs(f"{name}.gate_up_proj.{expert}", tokens[hit])

    handles = [
        module.register_forward_pre_hook(lambda _, args, name=name: see(name, args))
        for name, module in model.named_modules()
        if name.endswith(".experts")
    ]
    run()
    for handle in handles:
        handle.remove()
    experts = {name: place for name, place in stored(model).items() if "gate_up" in name}
    assert_same_sums(collected(experts, run), expected.sums)
