"""Expressions over names: found where Python's own search finds them, within a time limit."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artpack.errors import RecipeError, UsageError
from artpack.recipes import load_recipe, recipe_names
from artpack.recipes.rules import Rule
from artpack.stages import patterns
from artpack.stages.patterns import MAX_LETTERS, Pattern, compiled
from artpack.training.recipe import load_training

NAMES = (
    *("", "a", "b", "ab", "abab", "a b", "aq q", "ABC", "x{", "{a}", "]", "a.5", "a\n", "b\na"),
    *("tok_emb.weight", "lm_head.weight", "blocks.0.attn.c_q.weight", "blocks.11.mlp.fc.weight"),
    *("model.layers.3.self_attn.q_proj.weight", "ve_shared.scale", "é.weight"),
)


@pytest.mark.parametrize(
    "text",
    [
        *("", "^$", "a|", ".", r"\.", "[^a-c]+$", "[]a]", "[^]a]$", "x{", "{a}", "(?i)abc"),
        *("a{2,3}b", "(ab|a){2}$", "a{,2}$", "a{1,}", "(){3}", "(?:ab)*?$", "a+?b", "(?P<n>a)b"),
        *(
            "(?<=a)b",
            "(?<!a)b",
            "(?=.*b)a",
            "a(?!b)",
            "(?=a(?!b))",
            r"\bq\b",
            r"\Bq",
            r"\Aa",
            r"b\Z",
        ),
        *(r"\x61", r"\101", r"\u0061", r"\N{LATIN SMALL LETTER A}", r"\w+\.\d+", r"\S\s", r"\D\W"),
        *(r"^(?!.*(tok_emb|lm_head))", r"blocks\..*\.(attn|mlp)\.", r"(\w+\.)+weight$"),
    ],
)
def test_it_finds_what_re_finds(text: str) -> None:
    for name in NAMES:
        assert Pattern(text).found_in(name) == bool(re.search(text, name)), name


ATOMS = st.sampled_from(["a", "b", ".", r"\b", "^", "$", "[ab]", "[^a]", r"\w", "(?<=a)"])
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{,2}", "*?"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
        st.tuples(inner, st.sampled_from(["?=", "?!", "?:"])).map(
            lambda pair: f"({pair[1]}{pair[0]})"
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(EXPRESSIONS, st.text("ab.\n", max_size=6))
def test_it_finds_what_re_finds_in_any_expression(text: str, name: str) -> None:
    assert Pattern(text).found_in(name) == bool(re.search(text, name))


@pytest.mark.parametrize("text", ["^(a|a)*$", "(a|aa)+$", "(a{1,9}){1,9}$"])
def test_a_search_that_takes_too_long_is_an_error(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns, "SEARCH_SECONDS", 0.05)
    with pytest.raises(UsageError, match="takes too long to search"):
        compiled(text).found_in("a" * 300 + "b")


def test_a_rule_whose_search_never_ends_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "SEARCH_SECONDS", 0.05)
    rule = Rule.from_json({"match": "^(a|a)*$", "quantizer": "fp16"}, name="x")
    with pytest.raises(UsageError, match="takes too long to search"):
        rule.takes("a" * 100 + "b", (4, 4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "is not a regular expression: unterminated"),
        ("a{99999999999}", "repeats too often: repeat less"),
        ("(?R)", "is not a regular expression"),
        ("(" * 450 + ")" * 450, "is not a regular expression"),
        ("(){4000000000}", "repeat less"),
        ("((a{1000}){1000}){1000}", "repeat less"),
        ("((a{0,1000}){1,1000}){,1000}", "repeat less"),
        ("a" * (MAX_LETTERS + 1), "characters, the limit is"),
    ],
)
def test_what_cannot_be_searched_is_refused_where_it_is_written(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        Pattern(text)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"rules\.x: match: "):
        Rule.from_json({"match": text, "quantizer": "fp16"}, where="rules.x", name="x")
    for change in (f"groups.0.match='{text}'", f"init.0.match='{text}'"):
        with pytest.raises(RecipeError):
            load_training("plain", [change])


def test_published_expressions_mean_what_they_meant() -> None:
    for recipe in recipe_names():
        for rule in load_recipe(recipe).rules:
            for name in NAMES:
                assert compiled(rule.match).found_in(name) == bool(re.search(rule.match, name))
