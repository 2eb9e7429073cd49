"""Batches of a dataset, epoch after epoch, that stop and go on at the same sample.

    order of epoch e = a permutation drawn from (seed, e)

No state of a random generator has to be saved: the place in the data is the seed, the epoch, and
the samples of it that are done. Saved with the model after a step, it names the sample that comes
next, in whatever batches.

verl has a StatefulDataLoader over a RandomSampler and saves the generator's state; drop_last is on
there too, and its seed is 1 where none is set.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor

from rlcourse.alignment.datasets import PromptDataset


class Loader:
    """`for batch in loader` yields what is left of the epoch; the next loop is the next epoch.

    seed: of the shuffling, or None for the order of the files. drop_last leaves out the samples
    that don't fill a batch, others in each epoch. Raises ValueError where no batch could be filled.
    """

    def __init__(
        self, dataset: PromptDataset, batch_size: int, *, seed: int | None, drop_last: bool = True
    ) -> None:
        if not 1 <= batch_size <= (len(dataset) if drop_last else batch_size):
            raise ValueError(f"batch_size must lie in [1, {len(dataset)}], got {batch_size}")
        if seed is not None and seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        self.dataset, self.batch_size, self.seed = dataset, batch_size, seed
        self.stop = len(dataset) - (batch_size - 1 if drop_last else 0)  # no batch begins here
        self.epoch, self.done = 0, 0

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return len(range(0, self.stop, self.batch_size))

    def order(self, epoch: int) -> list[int]:
        """The numbers of the samples in the order of an epoch."""
        if self.seed is None:
            return [*range(len(self.dataset))]
        shuffled = np.random.default_rng((self.seed, epoch)).permutation(len(self.dataset))
        return [int(i) for i in shuffled]

    def __iter__(self) -> Iterator[dict[str, Tensor | list[Any]]]:
        epoch, order = self.epoch, self.order(self.epoch)
        while self.epoch == epoch:
            numbers = order[self.done : self.done + self.batch_size]
            self._go_to(epoch, self.done + self.batch_size)  # when it is out, it counts as done
            yield self.dataset.batch(numbers)

    def _go_to(self, epoch: int, done: int) -> None:
        self.epoch, self.done = (epoch, done) if done < self.stop else (epoch + 1, 0)

    def state_dict(self) -> dict[str, int | None]:
        """Where the next batch begins. The batch that a loop has just been given counts as done."""
        return {
            "seed": self.seed, "epoch": self.epoch, "done": self.done, "size": len(self.dataset),
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, int | None]) -> None:
        """Go on where `state` was taken. The batch size may have changed, the samples may not.

        Raises ValueError for another seed or number of samples, and for places out of range.
        """
        if state.keys() != self.state_dict().keys():
            raise ValueError(f"state must have keys {[*self.state_dict()]}, got {[*state]}")
        for name, own in (("seed", self.seed), ("size", len(self.dataset))):
            if state[name] != own:
                raise ValueError(f"state must have {name} {own}, as the loader, got {state[name]}")
        epoch, done = state["epoch"], state["done"]
        if epoch is None or done is None or epoch < 0 or not 0 <= done < len(self.dataset):
            raise ValueError(
                f"state must have epoch >= 0 and done in [0, {len(self.dataset)}), got "
                f"{epoch} and {done}"
            )
        self._go_to(epoch, done)
