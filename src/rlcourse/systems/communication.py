"""What the ranks of a data-parallel step send one another: elements, bytes and seconds.

An all-reduce is a reduce-scatter and an all-gather, so its payload counts twice. For P parameters
and A micro-batches whose gradients are added up before a step:

    stage   collectives of a step                                             payload, elements
    0       all-reduce of gradients                                           2P
    1       reduce-scatter of gradients, all-gather of weights                2P
    2       A reduce-scatters of gradients, all-gather of weights             (A + 1) P
    3       A times: two all-gathers of weights, reduce-scatter of gradients  3AP

Stage 2 keeps a share of the gradients, so it cannot add up what it has not reduced. Stage 3 gathers
the weights for the forward pass and, having dropped them, again for the backward pass.
Payload is counted per call, as the size of the whole tensor; each rank sends (W − 1)/W of it.
Symbols: P parameters, W ranks. A unit is a group of parameters that travel together, padded to a
multiple of W.
Sources: Rajbhandari et al. (2020), ZeRO, section 7; NVIDIA's data sheets of H100, A100 and B200;
PCI-SIG for PCIe; the InfiniBand Trade Association's roadmap.
"""

from collections.abc import Iterable, Sequence

from rlcourse._check import positive_integer
from rlcourse.systems.zero import sent_bytes

Call = tuple[str, int]  # a collective, and elements of payload

# Bytes per second in one direction, as the standard says: a program sees less. A data sheet's
# number for NVLink and PCIe is that of both directions.
LINKS = {
    "NVLink 5": 900 * 10**9,
    "NVLink 4": 450 * 10**9,
    "NVLink 3": 300 * 10**9,
    "PCIe 5 x16": 64 * 10**9,
    "PCIe 4 x16": 32 * 10**9,
    "InfiniBand NDR": 50 * 10**9,
    "InfiniBand HDR": 25 * 10**9,
    "Ethernet 100G": 12_500 * 10**6,
}


def payload(stage: int, parameters: int, micro_batches: int = 1) -> int:
    """2P, 2P, (A + 1) P, 3AP elements per step at stages 0 to 3.

    Padding not counted. ValueError for another stage, or sizes below 1.
    """
    positive_integer("parameters", parameters)
    times = 2, 2, positive_integer("micro_batches", micro_batches) + 1, 3 * micro_batches
    return times[_stage(stage)] * parameters


def calls(
    stage: int,
    units: Sequence[int],
    ranks: int,
    *,
    micro_batches: int = 1,
    frozen: Sequence[int] = (),
    clip: bool = False,
) -> list[Call]:
    """The collectives of a step, each with its elements, padding included.

    units: trained parameters of each unit; frozen: untrained ones, which stage 3 gathers and
    nobody reduces. clip: stages 1 to 3 add up the squares of their shares to the gradient's norm,
    one element. Units of no parameter are left out. ValueError for another stage, sizes below 1.
    """
    positive_integer("micro_batches", micro_batches)
    trained, still = (_padded(sizes, ranks) for sizes in (units, frozen))
    reduce = [("reduce_scatter", n) for n in trained]
    gather = [("all_gather", n) for n in trained]
    of_step = (
        [("all_reduce", n) for n in units if n],
        reduce + gather,
        micro_batches * reduce + gather,
        micro_batches * (2 * (gather + [("all_gather", n) for n in still]) + reduce),
    )[_stage(stage)]
    return of_step + [("all_reduce", 1)] * (clip and stage > 0)


def counted(made: Iterable[Call]) -> int:
    """Elements of payload of some calls; an all-reduce counts twice."""
    return sum(elements * (2 if name == "all_reduce" else 1) for name, elements in made)


def seconds(sent: int, link: str) -> float:
    """Seconds in which a link carries so many bytes one way, at the rate of its standard.

    A bound from below: no latency, no other traffic. ValueError for a link not in LINKS, or a
    negative number of bytes.
    """
    if link not in LINKS:
        raise ValueError(f"link must be one of {', '.join(LINKS)}, got {link!r}")
    if sent < 0:
        raise ValueError(f"sent must not be negative, got {sent}")
    return sent / LINKS[link]


def sent_in_step(made: Iterable[Call], element: int, ranks: int) -> int:
    """Bytes that each rank sends in these calls, an element being so many bytes (eq-sent-bytes)."""
    return sum(sent_bytes(name, elements * element, ranks) for name, elements in made)


def _padded(sizes: Sequence[int], ranks: int) -> list[int]:
    """Each size, 0 left out, rounded up to a multiple of the ranks."""
    positive_integer("ranks", ranks)
    return [-(-positive_integer("units", n) // ranks) * ranks for n in sizes if n != 0]


def _stage(stage: int) -> int:
    if stage not in (0, 1, 2, 3):
        raise ValueError(f"stage must be 0, 1, 2 or 3, got {stage!r}")
    return stage
