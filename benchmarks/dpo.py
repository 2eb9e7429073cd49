"""Direct preference optimisation beside TRL's DPOTrainer: milliseconds a step, and memory.

    .venv-peers/bin/python benchmarks/dpo.py

writes src/rlcourse/results/benchmarks/dpo.json (requirements-peers.txt says what it needs), in some
four minutes, on Linux. One model of the Qwen2 family, float32, read by both from one checkpoint;
the same comparisons in the same order, the same AdamW without a schedule, one thread. TRL has its
gradient checkpointing off, its fused head and its metrics on, as they come. First of all three
steps of both have the same losses.

    ours                 `train_on_comparisons`: the reference scores all answers before the first
                         step; reference_ms is a batch's share of that
    trl                  the reference goes through every batch of every epoch, in the step
    trl, precomputed     before the first step, as ours; reference_ms likewise

step_ms: from the end of a step to the end of the next. times_peer: step_ms of trl over those of the
row, within a round; times_precomputed: of trl, precomputed. All are seconds of the CPU. bytes: by
how much the resident memory of a fresh process grows at the peak of three steps: gradients, AdamW's
state and activations, but no weights.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # before torch loads
os.environ["TQDM_DISABLE"] = os.environ["HF_HUB_OFFLINE"] = "1"

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
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
from rlcourse.alignment.data import Sample
from rlcourse.alignment.dpo import dpo_loss
from rlcourse.alignment.packing import padded_batch
from rlcourse.alignment.preference_training import log_probs_of, train_on_comparisons
from rlcourse.alignment.reward_network import Comparisons
from rlcourse.alignment.sft import parts_of
from rlcourse.language.checkpoints import config_of, load, save
from rlcourse.language.config import Config
from rlcourse.language.training import Settings
from rlcourse.language.transformer import Decoder

CONFIG = Config(
    vocabulary=4096, width=128, layers=4, heads=4, kv_heads=2, head_dim=32, hidden=384,
    positions=256, qkv_bias=True,
)  # fmt: skip
PAIRS, STEPS, ROUNDS, BETA, RATE = 8, 6, 7, 0.1, 1e-4
PROMPT, ANSWER = (16, 49), (8, 65)  # tokens, the last excluded
EOS, PAD = CONFIG.vocabulary - 1, CONFIG.vocabulary - 2
NAMES = "ours", "trl", "trl, precomputed"
Pairs = list[tuple[list[int], list[int], list[int]]]


def pairs(count: int) -> Pairs:
    """Prompts with a chosen and a rejected answer, of random tokens, each answer with its end."""
    rng = np.random.default_rng(0)

    def tokens(low: int, high: int) -> list[int]:
        found: list[int] = rng.integers(PAD, size=rng.integers(low, high)).tolist()
        return found

    return [
        (tokens(*PROMPT), [*tokens(*ANSWER), EOS], [*tokens(*ANSWER), EOS]) for _ in range(count)
    ]


def models(folder: Path) -> None:
    """A policy and another model as its reference."""
    for seed, name in enumerate(("policy", "reference")):
        model = Decoder(CONFIG, generator=torch.Generator().manual_seed(seed))
        for p in model.parameters():
            p.data *= 2  # so that the losses aren't all log 2
        save(model, folder / name)


# ------------------------------------------------------------------------------- the two of them


class Run:
    """Steps down the DPO loss. times: of the CPU, when each step ended; losses: before each."""

    def __init__(self, steps: int) -> None:
        self.steps, self.times, self.losses = steps, list[float](), list[float]()

    def ended(self, *_: Any, **__: Any) -> None:
        self.times.append(time.process_time())


def order(count: int) -> list[int]:
    """In which `train_on_comparisons` takes the comparisons of the first epoch."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(0)).tolist()


def comparisons(data: Pairs) -> Comparisons:
    rows = [(row[0], row[0] + row[side]) for side in (1, 2) for row in data]
    whole = padded_batch(
        [Sample(torch.tensor(ids), torch.arange(len(ids)) >= len(prompt)) for prompt, ids in rows],
        pad=PAD,
    )
    return Comparisons(*parts_of(whole, len(data)))


def ours(folder: Path, steps: int) -> tuple[Run, Callable[[], None], Callable[[], Any]]:
    """A run, what starts it, and what scores a batch by the reference."""
    policy, reference = (load(folder / name) for name in ("policy", "reference"))
    data, run = comparisons(pairs(steps * PAIRS)), Run(steps)
    settings = Settings(
        steps=steps, batch=PAIRS, rate=RATE, warm_up=0, last=1.0, decay=0.1, betas=(0.9, 0.95)
    )

    def start() -> None:
        found = train_on_comparisons(
            deepcopy(policy), reference, data, lambda _, h: dpo_loss(h, BETA), settings,
            generator=torch.Generator().manual_seed(0), progress=run.ended,
        )  # fmt: skip
        run.losses = [step.loss for step in found]

    def score() -> None:
        for side in data:
            log_probs_of(reference, side)

    return run, start, score


class Peer(trl.DPOTrainer):  # type: ignore[misc]
    """TRL's trainer, which notes its losses."""

    run_ = Run(0)

    def compute_loss(self, *args: Any, **options: Any) -> Any:
        loss = super().compute_loss(*args, **options)
        self.run_.losses.append(float(loss.detach()))
        return loss


class Ends(transformers.TrainerCallback):  # type: ignore[misc]
    def __init__(self, run: Run) -> None:
        self.on_step_end = run.ended


def theirs(
    folder: Path, steps: int, precomputed: bool
) -> tuple[Run, Callable[[], None], Callable[[], Any]]:
    data = pairs(steps * PAIRS)
    columns = zip(*(data[i] for i in order(len(data))), strict=True)
    keys = "prompt", "chosen", "rejected"
    spoken = [[" ".join(map(str, ids)) for ids in column] for column in columns]
    lead = [[text + " " for text in spoken[0]], *spoken[1:]]
    policy, reference = (
        transformers.AutoModelForCausalLM.from_pretrained(folder / name, dtype=torch.float32)
        for name in ("policy", "reference")
    )
    core = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({str(i): i for i in range(CONFIG.vocabulary)}, "0")
    )
    core.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    run = Run(steps)
    trainer = Peer(
        model=policy, ref_model=reference,
        args=trl.DPOConfig(
            output_dir=str(folder / "out"), use_cpu=True, bf16=False, report_to="none",
            save_strategy="no", logging_strategy="no", disable_tqdm=True,
            gradient_checkpointing=False, per_device_train_batch_size=PAIRS, max_steps=steps,
            train_sampling_strategy="sequential", dataloader_pin_memory=False, max_length=None,
            learning_rate=RATE, lr_scheduler_type="constant", warmup_steps=0, weight_decay=0.1,
            adam_beta1=0.9, adam_beta2=0.95, max_grad_norm=1.0, optim="adamw_torch_fused",
            beta=BETA, precompute_ref_log_probs=precomputed,
        ),
        train_dataset=datasets.Dataset.from_dict(dict(zip(keys, lead, strict=True))),
        processing_class=transformers.PreTrainedTokenizerFast(
            tokenizer_object=core, eos_token=str(EOS), pad_token=str(PAD)
        ),
        callbacks=[Ends(run)],
    )  # fmt: skip
    trainer.run_ = run
    batches = [
        trainer.data_collator([trainer.train_dataset[i + j] for j in range(PAIRS)])
        for i in range(0, len(data), PAIRS)
    ]

    def score() -> None:
        for batch in batches:
            trainer.compute_ref_log_probs(reference, batch)

    return run, trainer.train, score


def made(name: str, folder: Path, steps: int) -> tuple[Run, Callable[[], None], Callable[[], Any]]:
    return ours(folder, steps) if name == "ours" else theirs(folder, steps, "pre" in name)


# ------------------------------------------------------------------------------- the race


def check(folder: Path) -> dict[str, list[float]]:
    """The losses of three steps, which must be the same."""
    found = {}
    for name in NAMES:
        run, start, _ = made(name, folder, 3)
        start()
        found[name] = run.losses
    for losses in found.values():
        np.testing.assert_allclose(losses[0], found["ours"][0], rtol=1e-5)
        np.testing.assert_allclose(losses, found["ours"], rtol=1e-3)
    return found


def race(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Milliseconds a step and a batch of the reference, in each round; they take turns."""
    step, score = ({name: list[float]() for name in NAMES} for _ in range(2))
    for _ in range(ROUNDS):
        for name in NAMES:
            run, start, reference = made(name, folder, STEPS)
            start()
            step[name].append(1000 * float(np.median(np.diff(run.times))))
            began = time.process_time()
            reference()
            score[name].append(1000 * (time.process_time() - began) / STEPS)
    return tuple({k: np.array(x) for k, x in table.items()} for table in (step, score))  # type: ignore[return-value]


def peak(name: str) -> int:
    """Bytes at the peak of three steps in a fresh process, the median of three processes."""
    arguments = [sys.executable, "-W", "ignore", __file__, "--peak", name]
    found = [
        int(
            subprocess.run(arguments, capture_output=True, check=True, text=True).stdout.split()[-1]
        )
        for _ in range(3)
    ]
    return sorted(found)[1]


def print_peak(name: str, folder: Path) -> None:
    _, start, _ = made(name, folder, 3)
    print(peak_growth(start))


def main(folder: Path) -> None:
    losses = check(folder)
    step, score = race(folder)
    content = results.circumstances("numpy", "torch", "transformers", "trl")
    content |= {"threads": 1, "load": os.getloadavg(), "model": config_of(CONFIG)}
    content["model"]["parameters"] = sum(
        p.numel() for p in load(folder / "policy").parameters()
    )  # fmt: skip
    content["problem"] = {
        "pairs": PAIRS, "steps": STEPS, "rounds": ROUNDS, "beta": BETA,
        "prompt": PROMPT, "answer": ANSWER, "losses": losses,
    }  # fmt: skip
    content["rows"] = [
        rounded({
            "method": name,
            "step_ms": float(np.median(step[name])),
            "reference_ms": 0.0 if name == "trl" else float(np.median(score[name])),
            "times_peer": ratios(step["trl"], step[name]),
            "times_precomputed": ratios(step["trl, precomputed"], step[name]),
            "bytes": peak(name),
        })
        for name in NAMES
    ]  # fmt: skip
    print(*content["rows"], results.write("benchmarks/dpo", content), sep="\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        models(Path(name))
        if sys.argv[1:2] == ["--peak"]:
            print_peak(sys.argv[2], Path(name))
        else:
            main(Path(name))
