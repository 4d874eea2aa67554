"""Models of any kind: calibrated, packed, and back with the weights that the artifact says."""

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import artpack
from artpack.artifact.reader import open_artifact
from artpack.errors import UsageError
from artpack.quantize import Lattice
from artpack.recipes import load_recipe
from artpack.runners.hugging_face_files import build_transformers

SMALL = load_recipe("frontier", ["matrices.min_rows=8", "matrices.quantizer.states=4"])
"""The frontier for tiny matrices, with few states."""

IDS = np.random.default_rng(0).integers(3, 58, 1024).astype(np.uint16)
"""Ids of letters, see ``tiny_tokenizer``."""

FAMILIES = ("llama-tied", "llama-untied", "gpt2", "qwen2", "mixtral", "t5", "bert")


def packed(source: Any, **given: Any) -> artpack.CompressResult:
    """Pack on the frontier, quickly."""
    return artpack.compress(source, recipe=SMALL, profile="fast", **given)


def dequantized(result: artpack.CompressResult) -> dict[str, Tensor]:
    """Return what an artifact's parts say, before any module or file has them."""
    weights: dict[str, Tensor] = {}
    with open_artifact(result.content()) as artifact:
        for tensor in artifact.header.plan.tensors:
            weights[tensor.name] = artifact.stored_tensor(tensor.name)
    return weights


def assert_equal_to_what_is_stored(state: dict[str, Tensor], result: Any) -> None:
    """Compare under the names of the state dict; what is stored turned is turned back."""
    with open_artifact(result.content()) as artifact:
        header = artifact.header
        turned = {n for bank in header.banks if bank.transposed for n in bank.members}
        stored = {n: w.T if n in turned else w for n, w in dequantized(result).items()}
        for bank in header.banks:
            members = [stored.pop(name) for name in bank.members]
            stored[bank.name] = torch.stack(members).reshape(state[bank.name].shape)
        stored |= {tie.name: stored[tie.target] for tie in header.ties}
    assert stored.keys() == state.keys()
    for name, weight in state.items():
        assert torch.equal(weight, stored[name].to(weight.dtype)), name


class Family:
    """A folder of a family, what it was packed to, and its model."""

    def __init__(self, folder: Path, family: str) -> None:
        from tests.tiny_transformers import save_folder  # noqa: PLC0415 - an optional extra

        self.folder, self.name = folder, family
        self.model: nn.Module = save_folder(folder, family)
        self.result = packed(folder, calibration_tokens=IDS)


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Family]:
    """Return a function that packs a family once."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    known: dict[str, Family] = {}

    def make(name: str) -> Family:
        if name not in known:
            known[name] = Family(tmp_path_factory.mktemp(name), name)
        return known[name]

    return make


def quantized(result: artpack.CompressResult) -> set[str]:
    """Return the names of what is on the frontier."""
    tensors = result.result.packed.header.plan.tensors
    return {tensor.name for tensor in tensors if isinstance(tensor.quantizer, Lattice)}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_matrix_of_a_family_is_seen_and_measured(
    families: Callable[[str], Family], family: str
) -> None:
    made = families(family)
    assert not [note for note in made.result.notes if "not seen" in note]
    assert made.result.loss is not None
    assert 0 < made.result.loss < 0.05
    with open_artifact(made.result.content()) as artifact:
        wide = {n for n, w in artifact.items() if w.ndim > 1 and min(w.shape) >= 8}
        aliases = {tie.name for tie in artifact.header.ties}
    assert quantized(made.result) >= wide - aliases


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_loads_what_the_artifact_says(
    families: Callable[[str], Family], family: str, tmp_path: Path
) -> None:
    made = families(family)
    made.result.save(tmp_path / "packed")
    with artpack.open(tmp_path / "packed") as artifact:
        weights = dict(artifact)
        module = build_transformers(artifact.files, weights).module
    assert_equal_to_what_is_stored(weights, made.result)
    assert type(module) is type(made.model)
    plain = type(made.model).from_pretrained(None, config=made.model.config, state_dict=weights)  # type: ignore[attr-defined]
    assert module.state_dict().keys() == made.model.state_dict().keys()
    for name, tensor in plain.state_dict().items():
        assert torch.equal(module.state_dict()[name], tensor), name


@pytest.mark.parametrize("family", ["llama-tied", "gpt2", "mixtral"])
def test_a_packed_causal_model_is_scored_by_text(
    families: Callable[[str], Family], family: str, tmp_path: Path
) -> None:
    made = families(family)
    text = tmp_path / "val.txt"
    text.write_text("the cat sat on the mat. " * 8 + "\0the end")
    windows = artpack.WindowOptions(window_tokens=32)
    found = artpack.evaluate(made.result, text, baseline=made.folder, windows=windows)
    assert found.score is not None
    assert found.score.coverage.scored > 100
    assert found.comparison is not None
    assert abs(found.comparison.bits_per_byte_increase.value) < 0.1


@pytest.mark.parametrize("family", ["t5", "bert"])
def test_what_predicts_no_next_token_says_so(
    families: Callable[[str], Family], family: str, tmp_path: Path
) -> None:
    text = tmp_path / "val.txt"
    text.write_text("the cat sat on the mat. ")
    with pytest.raises(UsageError, match="predicts no next token"):
        artpack.evaluate(families(family).result, text)


@pytest.mark.parametrize("family", ["gpt2", "mixtral"])
def test_a_calibration_that_was_kept_gives_the_same_bytes(
    families: Callable[[str], Family], family: str, tmp_path: Path
) -> None:
    made, file = families(family), tmp_path / "known.calib"
    first = packed(made.folder, calibration_tokens=IDS, calibration=file)
    assert file.exists()
    again = packed(made.folder, calibration_tokens=IDS, calibration=file)
    without = packed(made.folder, calibration=file)
    assert first.content() == made.result.content()
    assert first.content() == again.content() == without.content()


def kl(model: nn.Module, weights: dict[str, Tensor]) -> float:
    """Return the divergence on other ids than those of the calibration."""
    ids = torch.from_numpy(np.random.default_rng(9).integers(3, 58, (16, 64)))
    with torch.no_grad():
        before = model(ids).logits.log_softmax(-1)
        model.load_state_dict(weights, strict=False)
        after = model(ids).logits.log_softmax(-1)
    return float((before.exp() * (before - after)).sum(-1).mean())


def rename(folder: Path, names: Callable[[str], str]) -> None:
    """Save weights under the names of another version or class, as many on the hub are."""
    weights = load_file(folder / "model.safetensors")
    renamed = {names(name): weight for name, weight in weights.items()}
    save_file(renamed, folder / "model.safetensors", {"format": "pt"})


def without_prefix(name: str) -> str:
    return name.removeprefix("transformer.")


def of_a_larger_model(name: str) -> str:
    return "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta"
    )


@pytest.mark.parametrize(
    ("family", "names"), [("gpt2", without_prefix), ("bert", of_a_larger_model)]
)
def test_weights_under_names_of_another_class_are_found(
    families: Callable[[str], Family], tmp_path: Path, family: str, names: Callable[[str], str]
) -> None:
    made, folder = families(family), tmp_path / "renamed"
    shutil.copytree(made.folder, folder)
    rename(folder, names)
    result = packed(folder, calibration_tokens=IDS)
    assert not [note for note in result.notes if "not seen" in note]
    assert result.loss == pytest.approx(made.result.loss)
    assert quantized(result) == {names(name) for name in quantized(made.result)}


def test_what_the_model_has_not_is_packed_without_data(
    families: Callable[[str], Family], tmp_path: Path
) -> None:
    folder = tmp_path / "more"
    shutil.copytree(families("llama-untied").folder, folder)
    weights = load_file(folder / "model.safetensors")
    weights |= {"rotary_emb.inv_freq": torch.ones(2), "other.head.weight": torch.randn(16, 16)}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    result = packed(folder, calibration_tokens=IDS)
    (note,) = (note for note in result.notes if "not seen" in note)
    assert "1 of 17 matrices were not seen at work, 'other.head.weight' first" in note
    assert result.loss is not None
    assert 0 < result.loss < 0.05
    with open_artifact(result.content()) as artifact:
        assert artifact.keys() == weights.keys()


class Buffers(nn.Module):
    """A table that is no parameter and one that nothing is done with, beside a layer."""

    mixing: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mixing", torch.randn(32, 32))
        self.register_buffer("unused", torch.randn(32, 32))
        self.head = nn.Linear(32, 8)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(torch.tanh(x @ self.mixing))
        return outputs


def test_matrices_that_are_no_parameters_are_measured_as_well() -> None:
    torch.manual_seed(1)
    result = packed(Buffers(), calibration_batches=noise(8, 16, 32))
    assert quantized(result) == {"mixing", "unused", "head.weight"}
    (note,) = (note for note in result.notes if "not seen" in note)
    assert "1 of 3 matrices were not seen at work, 'unused' first" in note
    assert result.loss is not None
    assert 0 < result.loss < 0.1


class Mlp(nn.Module):
    """Three layers; the first reads inputs of very different sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(32, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 8)
        )

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.layers(x)
        return outputs


class ConvNet(nn.Module):
    """Plain, grouped and depthwise convolutions, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, groups=2),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, groups=32),
        )
        self.head = nn.Linear(32, 10)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(image).mean((2, 3)))
        return logits


class Recurrent(nn.Module):
    """An LSTM; its outputs are the first of two that it gives."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(12, 16, batch_first=True)

    def forward(self, x: Tensor, scale: float = 1.0) -> Any:
        return self.lstm(scale * x)


def rows_within(before: Tensor, after: Tensor) -> Tensor:
    """Return the mean absolute error of each row."""
    return (before - after).abs().mean(-1)


def noise(count: int, *shape: int) -> list[Tensor]:
    draw = torch.Generator().manual_seed(4)
    return [torch.randn(shape, generator=draw) for _ in range(count)]


MODULES: dict[str, tuple[Callable[[], nn.Module], Sequence[Any], dict[str, Any]]] = {
    "mlp": (Mlp, noise(8, 16, 32), {"loss": rows_within}),
    "convnet": (ConvNet, noise(8, 8, 3, 10, 10), {"loss": "logits"}),
    "lstm": (Recurrent, [{"x": x, "scale": 0.5} for x in noise(8, 4, 9, 12)], {}),
    "encoder": (
        lambda: nn.TransformerEncoderLayer(16, 2, 32, batch_first=True),
        [(x,) for x in noise(8, 4, 9, 16)],
        {"loss": "cosine"},
    ),
}


@pytest.mark.parametrize("kind", MODULES)
def test_a_module_comes_back_as_the_artifact_says(kind: str, tmp_path: Path) -> None:
    make, batches, given = MODULES[kind]
    torch.manual_seed(1)
    module = make().eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    result = packed(module, calibration_batches=batches, **given)
    assert not [note for note in result.notes if "not seen" in note]
    assert result.loss is not None
    assert 0 < result.loss < 0.1
    assert all(torch.equal(module.state_dict()[name], old) for name, old in before.items())
    result.save(tmp_path / "packed")
    loaded = artpack.load(tmp_path / "packed")
    assert_equal_to_what_is_stored(dict(loaded), result)
    other = make().eval()
    other.load_state_dict(loaded)
    assert all(torch.equal(other.state_dict()[name], one) for name, one in loaded.items())


def test_calibrated_beats_blind_at_equal_bytes() -> None:
    torch.manual_seed(1)
    module, scale = Mlp().eval(), torch.logspace(-2, 1, 32)
    batches = [x * scale for x in noise(8, 64, 32)]
    fresh = torch.randn(512, 32, generator=torch.Generator().manual_seed(6)) * scale

    def cost(result: artpack.CompressResult) -> float:
        other = Mlp().eval()
        with open_artifact(result.content()) as artifact:
            other.load_state_dict(dict(artifact))
        with torch.no_grad():
            return float((module(fresh) - other(fresh)).square().mean())

    blind = packed(module, budget=3400)
    seen = packed(module, budget=3400, calibration_batches=batches)
    assert seen.size_bytes <= 3400
    assert math.isclose(seen.size_bytes, blind.size_bytes, rel_tol=0.03)
    assert cost(seen) < 0.5 * cost(blind)


def test_a_loss_of_the_wrong_shape_is_named() -> None:
    with pytest.raises(UsageError, match=r"`loss` must give one number a row, a tensor \(16,\)"):
        packed(Mlp(), calibration_batches=noise(2, 16, 32), loss=lambda a, b: (a - b).mean())


def test_models_that_predict_no_next_token_do_not_write(
    families: Callable[[str], Family],
) -> None:
    for family in ("t5", "bert"):
        with pytest.raises(UsageError, match="predicts no next token, so that it cannot write"):
            artpack.calibrate(families(family).folder, self_generated=256)


def test_tokens_and_batches_are_not_given_together(families: Callable[[str], Family]) -> None:
    ids = np.arange(256) % 60
    with pytest.raises(UsageError, match="give one of them"):
        artpack.compress(
            families("gpt2").folder, calibration_tokens=ids, calibration_batches=[{"input_ids": 1}]
        )


def test_a_text_without_text_is_refused(families: Callable[[str], Family], tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" \n\0\n")
    with pytest.raises(UsageError, match=r"empty\.txt: there is no text in it"):
        artpack.calibrate(families("gpt2").folder, tmp_path / "empty.txt")


def mean_state(model: Any, batch: dict[str, Tensor]) -> Tensor:
    """Embed sentences: the mean over their tokens."""
    states, mask = model(**batch).last_hidden_state, batch["attention_mask"][..., None]
    mean: Tensor = (states * mask).sum(1) / mask.sum(1)
    return mean


def sentences(count: int) -> list[dict[str, Tensor]]:
    """Make batches of three sentences, two of them shorter."""
    draw, mask = torch.Generator().manual_seed(2), torch.ones(3, 12, dtype=torch.int64)
    mask[1, 7:] = mask[2, 5:] = 0
    ids = [torch.randint(3, 58, (3, 12), generator=draw) for _ in range(count)]
    return [{"input_ids": one * mask, "attention_mask": mask} for one in ids]


def test_a_folder_of_transformers_is_run_as_forward_says(
    families: Callable[[str], Family],
) -> None:
    made, batches = families("bert"), sentences(8)
    given = {"calibration_batches": batches, "forward": mean_state, "loss": "cosine"}
    result = packed(made.folder, **given)
    assert not [note for note in result.notes if "not seen" in note]
    assert result.loss_unit == "of the cosine"
    with open_artifact(result.content()) as artifact:
        assert set(artifact.files) >= {"config.json", "tokenizer.json"}
        after = build_transformers(artifact.files, dict(artifact)).module
    with torch.no_grad():  # losses are measured on every second batch
        before, found = (
            torch.cat([mean_state(model, batch) for batch in batches[1::2]])
            for model in (made.model, after)
        )
    cosines = torch.nn.functional.cosine_similarity(before.double(), found.double())
    assert result.loss == pytest.approx(float(1 - cosines.mean()), rel=0.02)


def test_a_folder_and_its_module_have_the_same_calibration(
    families: Callable[[str], Family],
) -> None:
    made, batches = families("bert"), sentences(4)
    one, other = (
        artpack.calibrate(source, batches=batches, forward=mean_state, loss="cosine")
        for source in (made.folder, made.model)
    )
    assert one.hessians.keys() == other.hessians.keys()
    assert all(torch.equal(other.hessians[name], one.hessians[name]) for name in one.hessians)
    assert one.tokens == other.tokens == 12


def test_weights_that_are_no_module_cannot_be_run_by_forward() -> None:
    weights = {"layer.weight": torch.eye(32)}
    with pytest.raises(UsageError, match="give the module, or a folder of transformers"):
        packed(weights, calibration_batches=noise(2, 4, 32), forward=mean_state)


def test_a_classifier_of_texts_is_measured_by_its_windows(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.BertConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_labels=5,
    )
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path)

    known = artpack.calibrate(tmp_path, IDS, window_tokens=16)
    result = packed(tmp_path, calibration_tokens=IDS)

    assert known.tokens == len(IDS) // 16
    assert result.loss is not None
    assert result.loss_unit == "nats"
    assert not [note for note in result.notes if "not seen" in note]


def test_a_model_of_images_takes_a_tensor(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.ViTConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=8,
        patch_size=4,
    )
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path)
    generator = torch.Generator().manual_seed(0)
    images = [torch.randn(3, 3, 8, 8, generator=generator) for _ in range(4)]

    tensors = artpack.calibrate(tmp_path, batches=images)
    named = artpack.calibrate(tmp_path, batches=[{"pixel_values": one} for one in images])

    assert tensors.hessians.keys() == named.hessians.keys()
    assert all(torch.equal(h, named.hessians[name]) for name, h in tensors.hessians.items())
    assert packed(tmp_path, calibration_batches=images).loss_unit == "nats"
