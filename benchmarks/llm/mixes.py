"""
Types that llama.cpp gives the matrices of a dense model in each of its mixes.

Source: llama.cpp, ``src/llama-quant.cpp`` (commit 007dbbf): which tensors get more bits, and
what a type falls back to where rows are no multiple of its block.
"""

from dataclasses import dataclass, replace

FALLBACKS = {
    "IQ1_S": "IQ4_NL",
    "IQ2_XXS": "IQ4_NL",
    "IQ2_XS": "IQ4_NL",
    "IQ2_S": "IQ4_NL",
    "IQ3_XXS": "IQ4_NL",
    "IQ3_S": "IQ4_NL",
    "IQ4_XS": "IQ4_NL",
    "Q2_K": "Q4_0",
    "Q3_K": "Q4_0",
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
}
"""Types of blocks of 256, and those of blocks of 32 that stand in for them."""

BLOCK = 256


@dataclass(frozen=True)
class Mix:
    """
    A mix of types, as ``llama-quantize`` makes it with an importance matrix.

    Attributes:
        name: As it is called there.
        base: The type of what has no rule.
        value: Of attention's values.
        output: Of attention's output.
        down: Of the second matrix of the MLP.
        queries: Of attention's queries and keys.
        early_down: Of ``down`` in the first layers.
        early_share: How few of the layers these are: one in so many.
        more: Of ``value`` and ``down`` in the layers that get more bits.
        early_value: Of ``value`` in the first two layers.
        embedding: Of the embedding, if one asks for it (``--token-embedding-type``).
    """

    name: str
    base: str
    value: str = ""
    output: str = ""
    down: str = ""
    queries: str = ""
    early_down: str = ""
    early_share: int = 8
    more: str = ""
    early_value: str = ""
    embedding: str = ""

    def type_of(self, name: str, cols: int, layers: int) -> str:
        """
        Choose the type of a matrix; fewer than four queries share a key.

        Args:
            name: As llama.cpp calls it, the head tied to the embedding.
            cols: Its row's length.
            layers: How many layers the model has.

        Returns:
            The type's name.

        """
        if name == "token_embd.weight":
            return self.embedding or ("Q6_K" if cols % BLOCK == 0 else "Q8_0")
        chosen = self._wanted(name, int(name.split(".")[1]), layers) or self.base
        return FALLBACKS.get(chosen, chosen) if cols % BLOCK else chosen

    def _wanted(self, name: str, layer: int, layers: int) -> str:
        kind = name.split(".")[2]
        more = self.more if _gets_more_bits(layer, layers) else ""
        if kind == "attn_v":
            return more or (self.early_value if layer < 2 else "") or self.value
        if kind == "ffn_down":
            return (
                more or (self.early_down if layer < layers // self.early_share else "") or self.down
            )
        wanted = {"attn_output": self.output, "attn_q": self.queries, "attn_k": self.queries}
        return wanted.get(kind, "")


def _gets_more_bits(layer: int, layers: int) -> bool:
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


_WITH_RULES = (
    Mix("Q6_K", "Q6_K"),
    Mix("Q5_K_M", "Q5_K", more="Q6_K"),
    Mix("Q4_K_M", "Q4_K", more="Q6_K"),
    Mix("Q4_0", "Q4_0", early_down="Q4_1"),
    Mix("IQ4_NL", "IQ4_NL"),
    Mix(
        "Q3_K_M",
        "Q3_K",
        value="Q4_K",
        early_value="Q5_K",
        output="Q4_K",
        down="Q4_K",
        early_down="Q5_K",
        early_share=16,
    ),
    Mix("Q2_K", "Q2_K", value="Q3_K", output="Q3_K", down="Q3_K"),
    Mix("IQ3_XXS", "IQ3_XXS", output="IQ3_S", queries="IQ2_S"),
    Mix("IQ2_XXS", "IQ2_XXS", value="Q2_K", early_down="Q2_K"),
)
"""Those that differ for rows of 576: the others fall back to the same types."""

SMALL_EMBEDDING = "Q4_0"
"""The smallest that rows of 576 allow, but for IQ4_NL, which has as many bits."""

MIXES = (
    *_WITH_RULES,
    *(
        replace(mix, name=f"{mix.name}, embedding {SMALL_EMBEDDING}", embedding=SMALL_EMBEDDING)
        for mix in _WITH_RULES[3:]
    ),
)
