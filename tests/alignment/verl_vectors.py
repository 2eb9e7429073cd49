"""Writes verl_vectors.json: inputs, and what verl's own functions make of them.

    pip install --no-deps --target FOLDER verl==0.9.1 tensordict omegaconf antlr4-python3-runtime
    python tests/alignment/verl_vectors.py FOLDER

verl doesn't install lightly, so its numbers are committed. Only `verl.trainer.ppo.core_algos` is
run; what it imports and doesn't use here (Ray, among others) may be missing.
"""

import importlib.metadata
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import Tensor

FILE = Path(__file__).with_suffix(".json")
MASK = [[1, 1, 1, 0, 0, 1, 0], [1, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1], [0, 1, 1, 0, 1, 0, 0],
        [1, 1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0, 0]]  # fmt: skip
GROUPS = [1, 0, 1, 0, 0, 1, 0]
KINDS = "k1", "k2", "k3", "k3+"
WAYS = {
    "token mean": "token-mean", "sequence mean": "seq-mean-token-mean",
    "constant": "seq-mean-token-sum-norm",
}  # fmt: skip
BETA, GAMMA, LAM, LOW, HIGH, DUAL, LENGTH, VALUE = 0.07, 0.9, 0.8, 0.2, 0.28, 3.0, 9, 0.15


def core(folder: str) -> Any:
    """verl's functions; modules that are missing are replaced by nothing."""
    sys.path.insert(0, folder)
    while True:
        try:
            from verl.trainer.ppo import core_algos

            return core_algos
        except ModuleNotFoundError as error:
            sys.modules[str(error.name)] = MagicMock()
            for name in [name for name in sys.modules if name.split(".")[0] == "verl"]:
                del sys.modules[name]


def inputs() -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(7)
    mask = torch.tensor(MASK, dtype=torch.float64)

    def normal(scale: float) -> Tensor:
        return scale * torch.randn(mask.shape, dtype=torch.float64, generator=g)

    old = -normal(1.0).abs()
    return {
        "mask": mask, "log_prob_old": old, "log_prob": old + normal(0.5),
        "log_prob_ref": old + normal(0.4), "advantage": normal(1.5), "value": normal(1.0),
        "value_old": normal(1.0), "target": normal(1.0), "loss": normal(1.0),
        "score": torch.tensor([1.0, 0.3, -0.5, 0.25, 0.3, 2.0, 0.0], dtype=torch.float64),
    }  # fmt: skip


def with_gradient(function: Any, x: Tensor) -> dict[str, Any]:
    """A scalar of x and its gradient."""
    own = x.clone().requires_grad_(True)
    total = function(own)
    return {
        "value": total.item(), "gradient": torch.autograd.grad(total, own)[0].tolist(),
    }  # fmt: skip


def outputs(c: Any, x: dict[str, Tensor]) -> dict[str, Any]:
    mask, score = x["mask"], x["score"]
    last = (mask * (mask.flip(1).cumsum(1).flip(1) == 1)).double()
    rewards = c.compute_rewards(score[:, None] * last, x["log_prob_old"], x["log_prob_ref"], BETA)
    whitened, returns = c.compute_gae_advantage_return(rewards, x["value"], mask, GAMMA, LAM)
    scored = score[:, None] * last, mask, torch.tensor(GROUPS).numpy()
    grpo = c.compute_grpo_outcome_advantage
    controller = c.AdaptiveKLController(BETA, 6.0, 1000)
    controller.update(9.0, 64)

    def policy(loss: str) -> dict[str, Any]:
        config = configuration(c)
        return with_gradient(
            lambda p: c.get_policy_loss_fn(loss)(
                x["log_prob_old"], p, x["advantage"], mask, "token-mean", config
            )[0],
            x["log_prob"],
        )

    return {
        "rewards": rewards.tolist(), "whitened": whitened.tolist(), "returns": returns.tolist(),
        "group": grpo(*scored)[0].tolist(),
        "none": grpo(*scored, norm_adv_by_std_in_grpo=False)[0].tolist(),
        "rloo": c.compute_rloo_outcome_advantage(*scored)[0].tolist(),
        "policy": policy("vanilla"),
        "gspo": policy("gspo"),
        "cispo": policy("cispo"),
        "kl": {
            kind: with_gradient(
                lambda p, kind=kind: (c.kl_penalty(p, x["log_prob_ref"], kind) * mask).sum(),
                x["log_prob"],
            )
            for kind in KINDS
        },
        "aggregated": {
            way: with_gradient(
                lambda own, theirs=theirs: c.agg_loss(own, mask, theirs, loss_scale_factor=LENGTH),
                x["loss"],
            )
            for way, theirs in WAYS.items()
        },
        "value_loss": with_gradient(
            lambda v: c.compute_value_loss(v, x["target"], x["value_old"], mask, VALUE)[0],
            x["value"],
        ),
        "beta": controller.value,
    }  # fmt: skip


def configuration(c: Any) -> Any:
    """What its losses read of one."""

    class Config(SimpleNamespace):
        def get(self, name: str, default: Any = None) -> Any:
            return getattr(self, name, default)

    c.ActorConfig = Config
    return Config(
        clip_ratio=LOW, clip_ratio_low=LOW, clip_ratio_high=HIGH, clip_ratio_c=DUAL,
        global_batch_info={},
    )  # fmt: skip


def main(folder: str) -> None:
    x = inputs()
    found = outputs(core(folder), x)
    version = next(iter(importlib.metadata.distributions(name="verl", path=[folder]))).version
    content = {
        "verl": version, "generator": f"tests/alignment/{Path(__file__).name}",
        "torch": torch.__version__,
        "numbers": {
            "beta": BETA, "gamma": GAMMA, "lam": LAM, "low": LOW, "high": HIGH, "dual": DUAL,
            "length": LENGTH, "value": VALUE, "groups": GROUPS,
        },
        "inputs": {name: column.tolist() for name, column in x.items()}, "outputs": found,
    }  # fmt: skip
    FILE.write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
