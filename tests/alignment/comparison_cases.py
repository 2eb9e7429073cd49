"""A small decoder and four comparisons, for the tests of what is trained on them."""

import torch

from rlcourse.alignment.data import Sample
from rlcourse.alignment.packing import padded_batch
from rlcourse.alignment.reward_network import Comparisons
from rlcourse.language.config import Config
from rlcourse.language.training import Settings
from rlcourse.language.transformer import Decoder

CONFIG = Config(23, 12, 2, 4, 2, 6, 20, positions=64)
LENGTHS = (5, 9, 3, 7), (4, 12, 6, 2)
SHORT = Settings(steps=4, batch=2, rate=1e-2, warm_up=0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def decoder(seed=0):
    """Weights far enough from 0 that answers differ in what they are worth."""
    model = Decoder(CONFIG, generator=generator(seed)).double()
    for p in model.parameters():
        p.data += 0.3 * torch.randn(p.shape, generator=generator(seed + 9), dtype=torch.float64)
    return model


def samples(lengths, seed=1):
    """Tokens of which the second half is the answer."""
    g = generator(seed)
    return [
        Sample(torch.randint(1, 23, (n,), generator=g), torch.arange(n) >= n // 2) for n in lengths
    ]


def comparisons(*more):
    """Four, each side with rows of further lengths that only widen it, taken off again."""
    wide = [padded_batch(samples((*own, *more), seed)) for seed, own in enumerate(LENGTHS)]
    return Comparisons(*(type(x)(*(column[:4] for column in x)) for x in wide))
