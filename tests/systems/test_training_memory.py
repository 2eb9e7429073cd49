"""Plans against real training steps of the decoder: every phase of two steps, to the byte."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch

from rlcourse.language.checkpoints import read_config
from rlcourse.language.config import Config
from rlcourse.language.transformer import Decoder
from rlcourse.systems.measured_step import FUSED, counted, predicted
from rlcourse.systems.memory_advice import advice
from rlcourse.systems.memory_timeline import peak
from rlcourse.systems.model_configs import MODELS
from rlcourse.systems.training_memory import (
    CARDS,
    FAMILIES,
    Plan,
    fits,
    peak_of,
    sizes_of,
    timeline_of,
    units_of,
)

torch.set_num_threads(1)
TINY: dict[str, Any] = {
    "model_type": "llama", "vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 48,
}  # fmt: skip
RECIPES_OF = {torch.float32: "fp32 Adam", torch.bfloat16: "pure bf16 Adam"}
VARIANTS: dict[str, dict[str, Any]] = {
    "llama": {},
    "all heads have keys": {"num_key_value_heads": 4},
    "one head of keys": {"num_key_value_heads": 1},
    "one head": {"num_attention_heads": 1, "num_key_value_heads": 1},
    "heads wider than the stream": {"head_dim": 12, "num_attention_heads": 6},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "qwen2": {"model_type": "qwen2"},
    "qwen3": {"model_type": "qwen3"},
    "qwen3 with one head of keys": {"model_type": "qwen3", "num_key_value_heads": 1},
    "tied": {"tie_word_embeddings": True},
    "a small vocabulary": {"vocab_size": 5, "intermediate_size": 200},
    "a large vocabulary": {"vocab_size": 3000, "tie_word_embeddings": True},
    "one layer": {"num_hidden_layers": 1},
}


def off(plan: Plan, dtype: torch.dtype, update: Mapping[str, Any] = FUSED) -> list[int]:
    """Bytes by which the phases of the first and the second step are off."""
    generator = torch.Generator().manual_seed(0)
    real = counted(
        sizes_of(plan.config), plan.batch, plan.tokens, dtype, plan.checkpointing,
        generator=generator, update=update,
    )  # fmt: skip
    ours = [predicted(timeline_of(plan, first=first)) for first in (True, False)]
    return [b - a for x, y in zip(real, ours, strict=True) for a, b in zip(x, y, strict=True)]


@pytest.mark.parametrize("dtype", RECIPES_OF)
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_phase_of_two_steps_is_predicted_to_the_byte(
    dtype: torch.dtype, checkpointing: bool, variant: str
) -> None:
    config = {**TINY, **VARIANTS[variant]}
    for batch, tokens in ((3, 5), (1, 33)):
        plan = Plan(config, batch, tokens, recipe=RECIPES_OF[dtype], checkpointing=checkpointing)
        assert off(plan, dtype) == [0] * 6


@pytest.mark.parametrize("update", ["fused", "foreach", "loop"])
@pytest.mark.parametrize("dtype", RECIPES_OF)
def test_what_the_update_needs_for_itself_is_predicted(update: str, dtype: torch.dtype) -> None:
    options = {"fused": {"fused": True}, "foreach": {"foreach": True}, "loop": {"foreach": False}}
    plan = Plan(TINY, 2, 3, recipe=RECIPES_OF[dtype], update=update)
    assert off(plan, dtype, options[update]) == [0] * 6


def test_units_hold_the_parameters_of_the_model() -> None:
    for variant in VARIANTS.values():
        plan = Plan({**TINY, **variant})
        sizes = Config(**sizes_of(plan.config)._asdict())
        parts = list(Decoder(sizes, generator=None).parameters())
        units = units_of(plan)
        assert sum(unit.parameters for unit in units) == sum(p.numel() for p in parts)
        assert sum(unit.tensors for unit in units) == len(parts)


def test_sizes_are_those_that_the_decoder_reads() -> None:
    configs = [{**TINY, **variant} for variant in VARIANTS.values()]
    for config in configs:
        given = read_config({"max_position_embeddings": 64, "rms_norm_eps": 1e-6, **config})
        ours = sizes_of(config)._asdict()
        assert {name: getattr(given, name) for name in ours} == ours


def test_all_that_is_saved_goes_but_the_loss() -> None:
    for checkpointing in (False, True):
        units = units_of(Plan(TINY, 3, 7, checkpointing=checkpointing))
        assert sum(unit.held - unit.released for unit in units) == 4


def test_tied_weights_are_gathered_for_the_loss_too() -> None:
    config = {**TINY, "tie_word_embeddings": True}
    apart, together = (Plan(config, ranks=3, stage=stage) for stage in (2, 3))
    row = 2 * 3 * -(-97 * 32 // 3)
    a, b = units_of(apart)[-1], units_of(together)[-1]
    assert (b.forward - a.forward, b.backward - a.backward) == (row, row)


def test_a_higher_stage_never_needs_more() -> None:
    for model in ("Qwen2.5-0.5B", "Llama-3.1-8B"):
        peaks = [peak_of(Plan(model, ranks=64, stage=stage)).total for stage in range(4)]
        assert all(a >= b for a, b in pairwise(peaks))
        assert peaks[0] > 1.5 * peaks[3]


def test_what_fits_is_counted_with_what_is_reserved() -> None:
    plan = Plan(TINY)
    room = CARDS["T4 16 GB"] - peak_of(plan).total
    assert fits(plan, "T4 16 GB", room)
    assert not fits(plan, "T4 16 GB", room + 1)


# ------------------------------------------------------------------------------- advice


def test_no_advice_where_it_fits() -> None:
    assert advice(Plan("Qwen2.5-0.5B"), "H100 80 GB") == []


def test_all_advice_fits_and_changes_what_it_says() -> None:
    plan = Plan("Llama-3.1-8B", batch=4, tokens=8192, ranks=8, stage=1)
    found = advice(plan, "H100 80 GB")
    assert found
    for change in found:
        assert fits(change.plan, "H100 80 GB")
        assert change.peak == peak(timeline_of(change.plan))
        kinds = [name for name in vars(plan) if vars(plan)[name] != vars(change.plan)[name]]
        assert len(kinds) == change.what.count(" and ") + 1
        assert change.plan != plan


def test_a_milder_change_of_the_same_kind_does_not_fit() -> None:
    plan = Plan("Llama-3.1-8B", batch=16, tokens=2048, ranks=8, stage=3)
    by_kind = {change.what.split()[0]: change.plan for change in advice(plan, "A100 80 GB")}
    batch = by_kind["batch"].batch
    assert not fits(replace(plan, batch=2 * batch), "A100 80 GB")
    assert fits(replace(plan, batch=batch), "A100 80 GB")
    assert "checkpoint" in by_kind


def test_pairs_come_where_no_single_change_is_enough() -> None:
    plan = Plan("Llama-3.1-8B", batch=8, tokens=8192, ranks=8)
    found = advice(plan, "H100 80 GB")
    assert found
    assert {change.what.count(" and ") for change in found} == {1}
    for change in found:
        assert fits(change.plan, "H100 80 GB")


def test_three_changes_come_where_no_two_are_enough() -> None:
    found = advice(Plan("Llama-3.1-70B", batch=8, tokens=8192, ranks=8), "H100 80 GB")
    assert {change.what.count(" and ") for change in found} == {2}


def test_nothing_is_promised_where_three_changes_are_not_enough() -> None:
    assert advice(Plan("Llama-3.1-70B", batch=1, tokens=1024), "T4 16 GB") == []


# ------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "Llama-9"}, "model must be one of"),
        ({"batch": 0}, "batch must be an integer of at least 1"),
        ({"tokens": 1}, "tokens must be at least 2"),
        ({"ranks": -2}, "ranks must be an integer"),
        ({"stage": 4}, "stage must be one of 0, 1, 2, 3, got 4"),
        ({"recipe": "fp8"}, "recipe must be one of"),
        ({"update": "slow"}, "update must be one of"),
        ({"ahead": -1}, "ahead must not be negative"),
        ({"model": "Mixtral-8x7B"}, "model_type must be one of llama, qwen2, qwen3"),
        ({"model": {**TINY, "num_key_value_heads": 3}}, "num_attention_heads"),
    ],
)
def test_bad_plans_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(Plan(TINY), **change)  # type: ignore[arg-type]


def test_an_unknown_card_is_named() -> None:
    with pytest.raises(ValueError, match="card must be one of T4 16 GB"):
        fits(Plan(TINY), "H1000")


def test_every_dense_model_of_a_known_family_has_a_timeline() -> None:
    known = [name for name, config in MODELS.items() if config["model_type"] in FAMILIES]
    assert len(known) >= 7
    for name in known:
        assert peak_of(Plan(name)).total > 0
