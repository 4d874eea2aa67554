"""Finding the weights in what a training script saved."""

from collections import OrderedDict
from typing import Any

import pytest
import torch

from artpack.checkpoint.source import Loaded
from artpack.checkpoint.state_dict import USUAL_KEYS, find_state_dict
from artpack.errors import CheckpointError, UsageError

W = torch.ones(2)


def find(content: object, key: str | None = None) -> Loaded:
    return find_state_dict(content, key=key, where="x.pt")


def names_of(content: object, key: str | None = None) -> list[str]:
    return list(find(content, key).tensors)


def test_a_state_dict_at_the_top_keeps_its_order_and_needs_no_note() -> None:
    loaded = find(OrderedDict(b=W, a=torch.nn.Parameter(W)))
    assert list(loaded.tensors) == ["b", "a"]
    assert loaded.notes == ()


@pytest.mark.parametrize("usual", USUAL_KEYS)
def test_a_state_dict_under_a_usual_key_is_found_and_said(usual: str) -> None:
    loaded = find({"step": 3, usual: {"a": W}})
    assert list(loaded.tensors) == ["a"]
    assert loaded.notes == (f"took the state dict under {usual!r}",)


@pytest.mark.parametrize("place", range(len(USUAL_KEYS) - 1))
def test_the_first_of_several_usual_keys_is_taken_whatever_their_order(place: int) -> None:
    first, second = USUAL_KEYS[place : place + 2]
    loaded = find({second: {"b": W}, first: {"a": W}})
    assert list(loaded.tensors) == ["a"]
    assert loaded.notes == (f"took the state dict under {first!r}; not taken: {second!r}",)


def test_tensors_beside_the_state_dict_are_said() -> None:
    content = {"model": {"a": W}, "rng": W, "averages": {"slow": {"a": W}}, "model2": {}}
    assert find(content).notes == (
        "took the state dict under 'model'; not taken: 'rng', 'averages.slow'",
    )


def test_a_usual_key_without_tensors_is_passed_over() -> None:
    assert names_of({"model": {"layers": 3}, "state_dict": {"a": W}}) == ["a"]


def test_other_entries_of_a_state_dict_are_left_out_and_said() -> None:
    content: dict[Any, Any] = {"a": W, "step": 3, "name": "x", 7: W, "extra": {"b": W}}
    loaded = find(content)
    assert list(loaded.tensors) == ["a"]
    assert loaded.notes == (
        "left out, not tensors: 'step' (int), 'name' (str), 7 (Tensor), 'extra' (dict)",
    )


def test_a_key_is_followed_through_its_dots() -> None:
    content = {"state": {"model": {"a": W}}, "model": {"b": W}}
    assert names_of(content, "state.model") == ["a"]
    assert names_of(content, "model") == ["b"]


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("modle", "there are state, step"),
        ("state.ema", "there are model, 7"),
        ("step.x", "there are no keys here"),
        ("", "there are state, step"),
    ],
)
def test_a_key_that_leads_nowhere_says_what_is_there(key: str, known: str) -> None:
    content = {"state": {"model": {"a": W}, 7: 1}, "step": 3}
    with pytest.raises(UsageError) as caught:
        find(content, key)
    assert str(caught.value) == f"x.pt: nothing under key {key!r}; {known}"


@pytest.mark.parametrize(
    ("content", "key", "problem"),
    [
        (W, None, "x.pt: holds a Tensor, not a state dict; save one with torch.save("),
        ([W], None, "x.pt: holds a list, not a state dict"),
        ({"a": W}, "a", "x.pt, key 'a': holds a Tensor, not a state dict"),
        ({}, None, "x.pt: no tensors, only an empty dict"),
        ({"step": 3, "b": "x"}, None, "x.pt: no tensors, only 'step' (int), 'b' (str)"),
        ({"o": {"x": 1}}, "o", "x.pt, key 'o': no tensors, only 'x' (int)"),
        (
            {"state": {"model": {"a": W}}},
            None,
            "x.pt: no tensors, only 'state' (dict); choose a key: 'state.model'",
        ),
    ],
)
def test_a_file_without_tensors_says_what_it_holds(
    content: object, key: str | None, problem: str
) -> None:
    with pytest.raises(CheckpointError) as caught:
        find(content, key)
    assert str(caught.value).startswith(problem)


def test_content_that_holds_itself_ends() -> None:
    content: dict[str, Any] = {"step": 3}
    content["self"] = content
    with pytest.raises(CheckpointError, match="no tensors, only 'step'"):
        find(content)
