"""A small decoder side by side with Hugging Face's: decoding and training, in tokens a second.

    .venv-peers/bin/python benchmarks/language.py

writes src/rlcourse/results/benchmarks/language.json (requirements-peers.txt says what it needs), in
some four minutes. One model of the Qwen3 family, float32, the same weights for both.

    decode   greedy, 32 tokens of prompt and 128 new ones: `decoding.generate` against
             `transformers`' generate (SDPA, its dynamic cache); both wrote the same tokens first
    cache    the same without a cache: each new token reads the whole text again (batch 1)
    train    a step on 8 sequences of 256: loss, backward, clip and AdamW; the losses were equal

times_peer: tokens a second over those of transformers, within a round; times_ours likewise.
`timing` says how they race. One thread.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # before torch loads

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers
from timing import race, ratios, rounded
from torch import Tensor
from torch.nn import functional as F

from rlcourse import results
from rlcourse.language.checkpoints import config_of
from rlcourse.language.config import Config
from rlcourse.language.decoding import generate
from rlcourse.language.sampling import GREEDY
from rlcourse.language.transformer import Decoder

CONFIG = Config(
    vocabulary=8192, width=256, layers=9, heads=8, kv_heads=4, head_dim=32, hidden=768,
    positions=1024, qk_norm=True,
)  # fmt: skip
PROMPT, NEW, BATCHES, SEQUENCES, LENGTH = 32, 128, (1, 16), 8, 256
ROUNDS = 9
Run = Callable[[], Any]


def pair() -> tuple[Decoder, Any]:
    """Our model and theirs, with the same weights."""
    ours = Decoder(CONFIG, generator=torch.Generator().manual_seed(0))
    theirs = transformers.AutoModelForCausalLM.from_config(
        transformers.AutoConfig.for_model(**config_of(CONFIG)), attn_implementation="sdpa"
    )
    weights = {f"model.{name}": w for name, w in ours.state_dict().items()}
    theirs.load_state_dict({**weights, "lm_head.weight": ours.head.detach()})
    return ours, theirs.eval()


def text(batch: int, length: int) -> Tensor:
    g = torch.Generator().manual_seed(1)
    return torch.randint(CONFIG.vocabulary, (batch, length), generator=g)


# ------------------------------------------------------------------------------- decoding


def decoders(batch: int) -> dict[str, Run]:
    """Who writes NEW tokens after the same prompts: each returns them (B, NEW)."""
    ours, theirs = pair()
    prompts = text(batch, PROMPT)
    rows, seen = prompts.tolist(), torch.ones_like(prompts)

    def lean() -> Tensor:
        return generate(
            ours, rows, sampling=GREEDY, max_tokens=NEW, eos=(), pad=0, generator=None
        ).response

    def peer() -> Tensor:
        whole: Tensor = theirs.generate(
            prompts, attention_mask=seen, max_new_tokens=NEW, do_sample=False, pad_token_id=0,
            eos_token_id=None,
        )  # fmt: skip
        return whole[:, PROMPT:]

    @torch.no_grad()
    def uncached() -> Tensor:
        whole = prompts
        for _ in range(NEW):
            whole = torch.cat([whole, ours(whole)[:, -1:].argmax(-1)], 1)
        return whole[:, PROMPT:]

    return {"ours": lean, "transformers": peer} | ({"uncached": uncached} if batch == 1 else {})


def decode(batch: int) -> list[dict[str, Any]]:
    """A row for each of the decoders."""
    runs = decoders(batch)
    written = [run() for run in runs.values()]
    assert all(torch.equal(written[0], other) for other in written), "the texts differ"
    return rows("decode", runs, batch * NEW, batch)


# ------------------------------------------------------------------------------- training


def trainers() -> dict[str, Callable[[], float]]:
    """A step of AdamW on the same batch: each returns the loss before it."""
    whole = text(SEQUENCES, LENGTH + 1)
    tokens, targets = whole[:, :-1], whole[:, 1:]

    def step(model: Any, logits: Callable[[], Tensor]) -> Callable[[], float]:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

        def run() -> float:
            loss = F.cross_entropy(logits().flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            return float(loss.detach())

        return run

    ours, theirs = pair()
    return {
        "ours": step(ours, lambda: ours(tokens)),
        "transformers": step(theirs.train(), lambda: theirs(tokens, use_cache=False).logits),
    }


def train() -> list[dict[str, Any]]:
    """A row for each of the trainers, whose losses must stay equal for three steps."""
    runs = trainers()
    for _ in range(3):
        a, b = (run() for run in runs.values())
        assert abs(a - b) < 1e-3 * a, (a, b)
    return rows("train", runs, SEQUENCES * LENGTH, SEQUENCES)


# ------------------------------------------------------------------------------- the race


def rows(what: str, runs: dict[str, Run], tokens: int, batch: int) -> list[dict[str, Any]]:
    seconds = race(runs, ROUNDS)
    table = [
        {
            "what": what, "method": name, "batch": batch,
            "tokens_per_second": tokens / float(np.median(x)),
            "times_peer": ratios(seconds["transformers"], x),
            "times_ours": ratios(seconds["ours"], x),
        }
        for name, x in seconds.items()
    ]  # fmt: skip
    for row in table:
        print(rounded(row), flush=True)
    return table


if __name__ == "__main__":
    torch.set_num_threads(1)
    content = results.circumstances("numpy", "torch", "transformers")
    content |= {"threads": 1, "load": os.getloadavg()}
    content["model"] = config_of(CONFIG) | {
        "parameters": sum(p.numel() for p in pair()[0].parameters())
    }
    content["problem"] = {
        "prompt": PROMPT, "new": NEW, "sequences": SEQUENCES, "length": LENGTH, "rounds": ROUNDS,
    }  # fmt: skip
    table = [row for batch in BATCHES for row in decode(batch)] + train()
    content["rows"] = [rounded(row) for row in table]
    content["load"] = [content["load"], os.getloadavg()]
    print(results.write("benchmarks/language", content))
