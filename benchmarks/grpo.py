"""GRPO beside TRL's GRPOTrainer: milliseconds a step, and memory.

    .venv-peers/bin/python benchmarks/grpo.py

writes src/rlcourse/results/benchmarks/grpo.json (requirements-peers.txt says what it needs), in
some five minutes, on Linux. One model of the Qwen2 family, float32, read by both from one
checkpoint; as many prompts, answers and tokens, the same reward, AdamW without a schedule, no
leash, one thread. A step draws the answers, scores them, and learns from all of them once. TRL has
its gradient checkpointing off and its metrics on, as they come; it spares the old
log-probabilities, since they are those of the step itself, which ours takes all the same. First of
all both have the same loss and the same gradient on one batch that ours wrote.

step_ms: from the end of a step to the end of the next; times_peer: of trl, over those of the row,
within a round. All are seconds of the CPU. bytes: by how much the resident memory of a fresh
process grows at the peak of three steps.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # before torch loads
os.environ["TQDM_DISABLE"] = os.environ["HF_HUB_OFFLINE"] = "1"

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import tokenizers
import torch
import transformers
import trl
from timing import peak_growth, ratios, rounded

from rlcourse import results
from rlcourse.alignment.actor import Writing
from rlcourse.alignment.aggregation import token_weights
from rlcourse.alignment.columns import Columns
from rlcourse.alignment.grpo import grpo_advantages
from rlcourse.alignment.policy_step import Recipe, Run, accumulate, begin, ppo
from rlcourse.alignment.trainer import Roles, iteration, roles_of, train
from rlcourse.language.checkpoints import config_of, load, save
from rlcourse.language.config import Config
from rlcourse.language.training import Settings
from rlcourse.language.transformer import Decoder

CONFIG = Config(
    vocabulary=4096, width=128, layers=4, heads=4, kv_heads=2, head_dim=32, hidden=384,
    positions=256, qkv_bias=True,
)  # fmt: skip
PROMPTS, SAMPLES, PROMPT, ANSWER = 8, 8, 16, 32  # tokens of each
STEPS, ROUNDS, RATE = 5, 7, 1e-4
EOS, PAD = CONFIG.vocabulary - 1, CONFIG.vocabulary - 2
NAMES = "ours", "trl"


def prompts() -> torch.Tensor:
    return torch.as_tensor(np.random.default_rng(0).integers(PAD, size=(64, PROMPT)))


def reward(answer: list[int]) -> float:
    """The share of even numbers among the tokens."""
    return sum(token % 2 == 0 for token in answer) / len(answer)


class Race:
    """times: of the CPU, when each step ended."""

    def __init__(self) -> None:
        self.times = list[float]()

    def ended(self, *_: Any, **__: Any) -> None:
        self.times.append(time.process_time())


# ------------------------------------------------------------------------------- the two of them


def score(batch: Columns) -> dict[str, torch.Tensor]:
    mask = batch["mask"]
    rows = zip(batch["tokens"][:, -mask.shape[1] :], mask, strict=True)
    return {"score": torch.tensor([reward(row[own].tolist()) for row, own in rows])}


def advantages(rewards: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    return grpo_advantages(rewards, groups, epsilon=1e-4)  # TRL's


def ours(folder: Path, steps: int) -> tuple[Run, Roles]:
    settings = Settings(
        steps=steps, batch=PROMPTS * SAMPLES, rate=RATE, warm_up=0, last=1.0, decay=0.1,
        betas=(0.9, 0.95),
    )  # fmt: skip
    run = begin(
        load(folder / "policy"),
        Recipe(settings, Writing(ANSWER, (EOS,), PAD), PROMPTS, SAMPLES),
        generator=torch.Generator().manual_seed(0),
    )
    return run, roles_of(run, score, advantages)


def theirs(folder: Path, steps: int, race: Race) -> Any:
    core = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({str(i): i for i in range(CONFIG.vocabulary)}, "0")
    )
    core.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    rows = [" ".join(map(str, row)) for row in prompts().tolist()]

    def rewards(completion_ids: list[list[int]], **_: Any) -> list[float]:
        return [reward(row) for row in completion_ids]

    class Ends(transformers.TrainerCallback):  # type: ignore[misc]
        on_step_end = staticmethod(race.ended)

    return trl.GRPOTrainer(
        model=transformers.AutoModelForCausalLM.from_pretrained(
            folder / "policy", dtype=torch.float32
        ),
        reward_funcs=rewards,
        args=trl.GRPOConfig(
            output_dir=str(folder / "out"), use_cpu=True, bf16=False, report_to="none",
            save_strategy="no", logging_strategy="no", disable_tqdm=True,
            gradient_checkpointing=False, per_device_train_batch_size=PROMPTS * SAMPLES,
            num_generations=SAMPLES, max_completion_length=ANSWER, max_steps=steps,
            steps_per_generation=1, dataloader_pin_memory=False, learning_rate=RATE,
            lr_scheduler_type="constant", warmup_steps=0, weight_decay=0.1, adam_beta1=0.9,
            adam_beta2=0.95, max_grad_norm=1.0, optim="adamw_torch_fused", beta=0.0,
            temperature=1.0, top_p=1.0, top_k=0, loss_type="dapo", epsilon=0.2,
        ),
        train_dataset=datasets.Dataset.from_dict({"prompt": rows}),
        processing_class=transformers.PreTrainedTokenizerFast(
            tokenizer_object=core, eos_token=str(EOS), pad_token=str(PAD), padding_side="left"
        ),
        callbacks=[Ends()],
    )  # fmt: skip


def made(name: str, folder: Path, steps: int) -> tuple[Race, Callable[[], Any]]:
    """What notes the ends of steps, and what starts them."""
    race = Race()
    if name == "trl":
        return race, theirs(folder, steps, race).train
    run, roles = ours(folder, steps)
    return race, lambda: train(run, prompts(), roles, watch=race.ended)


# ------------------------------------------------------------------------------- the race


def check(folder: Path) -> dict[str, float]:
    """One batch of ours: the same loss, and the same gradient of the embedding."""
    run, roles = ours(folder, 1)
    groups = torch.arange(PROMPTS).repeat_interleave(SAMPLES)
    roles = roles._replace(learn=lambda batch: {})
    batch, _ = iteration(roles, {"prompts": prompts()[groups], "group": groups})
    g = torch.Generator().manual_seed(1)
    old = batch["log_prob_old"] + 0.3 * torch.randn(batch["mask"].shape, generator=g)
    batch = {**batch, "log_prob_old": old, "counts": batch["mask"]}
    weight = token_weights(batch["mask"], "token mean")
    found = {"ours": float(accumulate(run, ppo, {**batch, "weight": weight})["loss"])}
    trainer = theirs(folder, 1, Race())
    mask = batch["mask"].long()
    trainer.current_gradient_accumulation_steps = 1
    loss = trainer._compute_loss(trainer.model.train(), {
        "prompt_ids": batch["prompts"], "prompt_mask": torch.ones_like(batch["prompts"]),
        "completion_ids": batch["tokens"][:, -mask.shape[1] :], "completion_mask": mask,
        "advantages": batch["advantage"][:, 0], "old_per_token_logps": old,
        "num_items_in_batch": mask.sum(),
    })  # fmt: skip
    loss.backward()
    found["trl"] = float(loss.detach())
    np.testing.assert_allclose(found["trl"], found["ours"], rtol=1e-4)
    grad = trainer.model.get_input_embeddings().weight.grad
    np.testing.assert_allclose(grad, run.policy.head.grad, rtol=1e-3, atol=1e-6)
    return found


def race_both(folder: Path) -> dict[str, Any]:
    """Milliseconds a step in each round; they take turns."""
    found = {name: list[float]() for name in NAMES}
    for _ in range(ROUNDS):
        for name in NAMES:
            race, start = made(name, folder, STEPS)
            start()
            found[name].append(1000 * float(np.median(np.diff(race.times))))
    return {name: np.array(x) for name, x in found.items()}


def peak(name: str) -> int:
    """Bytes at the peak of three steps in a fresh process, the median of three processes."""
    arguments = [sys.executable, "-W", "ignore", __file__, "--peak", name]
    found = [
        subprocess.run(arguments, capture_output=True, check=True, text=True).stdout.split()[-1]
        for _ in range(3)
    ]
    return sorted(map(int, found))[1]


def main(folder: Path) -> None:
    losses = check(folder)
    step = race_both(folder)
    content = results.circumstances("numpy", "torch", "transformers", "trl")
    content |= {"threads": 1, "load": os.getloadavg(), "model": config_of(CONFIG)}
    content["problem"] = {
        "prompts": PROMPTS, "samples": SAMPLES, "prompt": PROMPT, "answer": ANSWER,
        "steps": STEPS, "rounds": ROUNDS, "losses": losses,
    }  # fmt: skip
    content["rows"] = [
        rounded({
            "method": name,
            "step_ms": float(np.median(step[name])),
            "times_peer": ratios(step["trl"], step[name]),
            "bytes": peak(name),
        })
        for name in NAMES
    ]  # fmt: skip
    print(*content["rows"], results.write("benchmarks/grpo", content), sep="\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as text:
        place = Path(text)
        policy = Decoder(CONFIG, generator=torch.Generator().manual_seed(0))
        save(policy, place / "policy")
        if sys.argv[1:2] == ["--peak"]:
            print(peak_growth(made(sys.argv[2], place, 3)[1]))
        else:
            main(place)
