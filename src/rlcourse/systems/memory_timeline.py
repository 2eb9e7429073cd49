"""When a training step holds how many bytes: forward, backward, update, unit by unit.

A unit is a part of the model that runs as one, a block for example. While it runs there is:

    forward    states + held by the units before it + its own most
    backward   the same, and the gradients of the units behind it
    reduce     (stages 2, 3) its gradients once more as one row, and the share that stays
    update     states + all gradients + what the update needs for itself

    states     weights, master weights and moments; no moments before the first update
    stage 3    and the weights of the unit that runs, whole, and of so many that come next

The peak is the largest of these moments, and says whose it is. Equal units without working memory
give max(L a + g, a + L g) beside weights and moments: `zero.step_peak`  (eq-step-peak).
All in bytes of one rank. Each unit's parameters are cut into W shares of s = ⌈P/W⌉ elements.
Symbols: P parameters of a unit, W ranks, L units.
Sources: Rajbhandari et al. (2020), ZeRO, sections 5 and 7; Zhao et al. (2023), PyTorch FSDP,
section 3.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from rlcourse._check import positive_integer
from rlcourse.systems.zero import Recipe, States, states


class Unit(NamedTuple):
    """A part of the model that runs as one: elements, tensors, and bytes beyond what is there.

    held: alive when its forward pass is done; forward: the most while it runs. backward: the most
    while its backward pass runs, its gradients among them; released: what goes by the end of it,
    gradients not counted.
    """

    name: str
    parameters: int
    tensors: int
    held: int
    forward: int
    backward: int
    released: int


class Moment(NamedTuple):
    """Bytes alive at a moment, by owner.

    gathered: weights of other ranks. working: what the operation that runs needs for itself, the
    gradients of its unit among it until they are done. batch: tokens and targets.
    """

    name: str
    weights: int
    gathered: int
    gradients: int
    optimizer: int
    activations: int
    working: int
    batch: int

    @property
    def total(self) -> int:
        """All owners together."""
        return sum(self[1:])


OWNERS = Moment._fields[1:]


def unit_states(unit: Unit, recipe: Recipe, ranks: int, stage: int) -> States:
    """What one rank keeps of a unit, in shares of ⌈P/W⌉; with moments come 4-byte step counts.

    There is one count a tensor, and a share is a tensor.
    """
    return _states(unit.parameters, unit.tensors, recipe, ranks, stage)


@lru_cache(maxsize=1024)
def _states(parameters: int, tensors: int, recipe: Recipe, ranks: int, stage: int) -> States:
    kept = states([(parameters,)], recipe, ranks, stage)[0]
    counts = 1 if ranks > 1 and stage else tensors
    return kept._replace(moments=kept.moments + 4 * counts * bool(recipe.moments))


def timeline(
    units: Sequence[Unit],
    recipe: Recipe,
    ranks: int = 1,
    stage: int = 0,
    *,
    first: bool = False,
    batch: int = 0,
    update: int = 0,
    ahead: int = 0,
) -> list[Moment]:
    """The moments of a step: forward and backward of each unit, the reductions, the update.

    first: the first step, before which there are no moments. update: bytes that the optimizer needs
    for itself. ahead: how many units are gathered before their turn (stage 3). Errors: those of
    `zero.states`; ValueError for no unit.
    """
    positive_integer("units", len(units))
    kept = [unit_states(u, recipe, ranks, stage) for u in units]
    whole = [0 if ranks == 1 or stage < 3 else _row(u, recipe.weights, ranks) for u in units]
    weights = sum(x.weights for x in kept)
    later = sum(x.master + x.moments for x in kept)
    optimizer = sum(x.master for x in kept) if first else later
    moments, held, gradients = [], 0, 0

    def note(name: str, working: int, gathered: int, owned: int = optimizer) -> None:
        moments.append(Moment(name, weights, gathered, gradients, owned, held, working, batch))

    for i, unit in enumerate(units):
        note(f"forward {unit.name}", unit.forward, sum(whole[i : i + ahead + 1]))
        held += unit.held
    for i, unit in reversed(list(enumerate(units))):
        gathered = sum(whole[max(0, i - ahead) : i + 1])
        note(f"backward {unit.name}", unit.backward, gathered)
        held -= unit.released
        fresh = recipe.weights * unit.parameters
        if fresh != kept[i].gradients:
            row = _row(unit, recipe.weights, ranks) if ranks > 1 and stage > 1 else 0
            note(f"reduce {unit.name}", fresh + row + kept[i].gradients, gathered)
        gradients += kept[i].gradients
    note("update", update, 0, later)
    return moments


def _row(unit: Unit, element: int, ranks: int) -> int:
    """W s elements: a unit's parameters end to end, padded."""
    return element * ranks * -(-unit.parameters // ranks)


def peak(moments: Sequence[Moment]) -> Moment:
    """The first of the moments with the most bytes."""
    return max(moments, key=lambda moment: moment.total)
