"""A model too small to learn much, and batches that it wrote, for the tests of the trainer."""

import copy

import torch

from rlcourse.alignment.actor import Writing, scored, written
from rlcourse.alignment.columns import joined
from rlcourse.alignment.critic import Critic
from rlcourse.alignment.policy_step import Recipe, begin
from rlcourse.language.config import Config
from rlcourse.language.training import Settings
from rlcourse.language.transformer import Decoder

EOS, PAD = 7, 8
CONFIG = Config(
    vocabulary=9, width=16, layers=2, heads=2, kv_heads=1, head_dim=8, hidden=24, positions=32
)
WRITING = Writing(5, (EOS,), PAD)
PROMPTS = torch.tensor([[PAD, PAD, 3], [1, 2, 3], [PAD, 5, 0], [6, 6, 1]])


def model(seed=0, dtype=torch.float64):
    found = Decoder(CONFIG, generator=torch.Generator().manual_seed(seed)).to(dtype)
    for p in found.parameters():
        p.data *= 4  # so that not all tokens are equally likely
    return found


def recipe(**options):
    settings = {"steps": 4, "batch": 4, "rate": 1e-2, "warm_up": 0, "decay": 0.0}
    settings |= options.pop("training", {})
    known = {"prompts": 4, "samples": 2, "writing": WRITING} | options
    return Recipe(training=Settings(**settings), **known)


def run(*, critic=False, reference=True, seed=0, dtype=torch.float64, **options):
    policy = model(seed, dtype)
    return begin(
        policy, recipe(**options), generator=torch.Generator().manual_seed(seed),
        reference=copy.deepcopy(model(seed + 9, dtype)) if reference else None,
        critic=Critic(policy) if critic else None,
    )  # fmt: skip


def written_batch(policy, samples=2, seed=1):
    """Answers of other lengths to prompts of other lengths."""
    groups = torch.arange(len(PROMPTS)).repeat_interleave(samples)
    prompts = {"prompts": PROMPTS[groups], "group": groups}
    drawn = written(policy, prompts, WRITING, generator=torch.Generator().manual_seed(seed))
    return joined(prompts, drawn)


def whole_batch(policy, rows=4, seed=1):
    """With all columns that a step needs."""
    batch = written_batch(policy, seed=seed)
    g = torch.Generator().manual_seed(seed)
    shape = batch["mask"].shape

    def normal():
        return torch.randn(shape, dtype=torch.float64, generator=g) * batch["mask"]

    others = {"advantage": normal(), "value": normal(), "target": normal()}
    old = scored(policy, batch, "log_prob_old", rows)
    ref = scored(model(9), batch, "log_prob_ref", rows)
    return joined(batch, old, ref, others)
