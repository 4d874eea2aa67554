"""What published systems simulate in training, for runs that were recorded with it."""

from artpack.models.mechanisms import Simulated
from artpack.models.simulate import FakeRowInt, FakeRowPentanary, RowClippedInt

PR576_QAT = (
    *(
        Simulated(names, RowClippedInt(5, 0.9995))
        for names in ("blocks.*.attn.*", "blocks.*.mlp.*", "*.proj", "lm_head")
    ),
)
"""What PR 576 means its linear layers to do in the last part of training."""

PR1123_QAT = (
    Simulated("*.attn.c_[qk]", FakeRowInt(6)),
    Simulated("*.attn.*", FakeRowInt(5)),
    Simulated("*.mlp.up", FakeRowPentanary()),
    Simulated("*.mlp.down", FakeRowInt(4)),
    Simulated("lm_head", FakeRowInt(8)),
)
"""What PR 1123 does in training with quantization on; off, it simulates nothing."""
