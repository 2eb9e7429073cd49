"""Blackjack as a finite MDP: the model that a player at the table doesn't write down.

The deck is infinite, so that cards are independent: 2 to 9 and the ace have probability 1/13 each,
a ten or picture 4/13. The player sticks or hits; the dealer draws to 17 or more. What the dealer
will reach depends on the card that shows, and is summed out: sticking has three outcomes.

A state is (sum 4 .. 21, dealer's card 1 .. 10, usable ace 0 or 1), numbered by `state`; an ace is
usable if it counts 11 without going bust. Under rules where a natural (an ace and a ten, dealt) is
worth more than another 21, ten more states hold a natural against each card.

Shapes: S = 360 or 370 states, A = 2 actions (0 stick, 1 hit), K = 10 outcomes.
Source: Sutton & Barto, 2nd ed., example 5.1; gymnasium's Blackjack-v1.
"""

from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np

from rlcourse.tabular.mdp import MDP, Floats, deterministic_policy, finite_mdp

STICK, HIT = 0, 1
LEAST, BUST = 4, 22
CARDS = np.arange(1, 11)
P_CARD = np.array([1] * 9 + [4]) / 13
N_HANDS = (BUST - LEAST) * 20


class Game(NamedTuple):
    """An MDP and the probability (S,) of each first state."""

    mdp: MDP
    start: Floats


class Hand(NamedTuple):
    """What counts of a hand: its sum, and whether an ace counts 11 in it."""

    total: int
    usable: int


def state(total: int, dealer: int, usable: int) -> int:
    """The number of a state; raises ValueError where there is none."""
    if not (LEAST <= total < BUST and dealer in CARDS and usable in (0, 1)):
        raise ValueError(
            "state must have a sum of 4 .. 21, a dealer's card of 1 .. 10 and a usable ace of 0 or"
            f" 1, got ({total}, {dealer}, {usable})"
        )
    return (total - LEAST) * 20 + (dealer - 1) * 2 + usable


def add(hand: Hand, card: int) -> Hand:
    """The hand with one more card: an ace counts 11 while that doesn't exceed 21."""
    total, usable = hand.total + card, hand.usable
    if card == 1 and not usable and total + 10 < BUST:
        total, usable = total + 10, 1
    if total >= BUST and usable:
        total, usable = total - 10, 0
    return Hand(total, usable)


@cache
def dealer_totals(card: int) -> Floats:
    """The probability of each sum 0 .. 22 that the dealer ends with, 22 for all that is bust.

    The dealer draws until the sum is 17 or more, a usable ace included.
    """
    end = np.zeros(BUST + 1)
    hands = {add(Hand(0, 0), card): 1.0}
    while hands:
        drawn: dict[Hand, float] = {}
        for hand, p in hands.items():
            for c, q in zip(CARDS.tolist(), P_CARD.tolist(), strict=True):
                now = add(hand, c)
                if now.total >= 17:
                    end[min(now.total, BUST)] += p * q
                else:
                    drawn[now] = drawn.get(now, 0.0) + p * q
        hands = drawn
    return end


def blackjack(*, sab: bool = False, natural: bool = False) -> Game:
    """The game under the rules of gymnasium.make("Blackjack-v1", sab=..., natural=...).

    By default a natural is a 21 like any other. sab: it wins against all but a dealer's natural, as
    in Sutton and Barto; natural, without sab: where it wins it pays 1.5. gamma is 1.
    """
    apart = sab or natural
    shape = (N_HANDS + 10 * apart, 2, len(CARDS))
    s_next = np.broadcast_to(np.arange(shape[0])[:, None, None], shape).copy()
    p, r, terminated = np.zeros(shape), np.zeros(shape), np.ones(shape, dtype=np.bool_)
    p[:, HIT], r[:, STICK, :3], r[:, HIT] = P_CARD, (1, 0, -1), -1
    for dealer, total, usable in product(range(1, 11), range(LEAST, BUST), (0, 1)):
        s, ends = state(total, dealer, usable), dealer_totals(dealer)
        won, lost = ends[:total].sum() + ends[BUST], ends[total + 1 : BUST].sum()
        p[s, STICK, :3] = won, ends[total], lost
        for k, card in enumerate(CARDS.tolist()):
            now = add(Hand(total, usable), card)
            if now.total < BUST:
                s_next[s, HIT, k] = state(now.total, dealer, now.usable)
                r[s, HIT, k], terminated[s, HIT, k] = 0, False
    if apart:
        other = [state(21, dealer, 1) for dealer in CARDS.tolist()]
        for x in (s_next, p, r, terminated):
            x[N_HANDS:] = x[other]
        both = np.array([P_CARD[9], *[0] * 8, P_CARD[0]])  # the dealer's hidden card makes one too
        if sab:
            p[N_HANDS:, STICK, 0], p[N_HANDS:, STICK, 1], p[N_HANDS:, STICK, 2] = 1 - both, both, 0
        else:
            r[N_HANDS:, STICK, 0] = 1.5
    return Game(finite_mdp(s_next, p, r, terminated), _deal(shape[0]))


def _deal(n_states: int) -> Floats:
    """The probability (S,) of each first state: two cards, and the one that the dealer shows."""
    start = np.zeros(n_states)
    for one, two, dealer in product(range(1, 11), repeat=3):
        hand = add(add(Hand(0, 0), one), two)
        s = state(hand.total, dealer, hand.usable)
        if hand.total == 21 and n_states > N_HANDS:
            s = N_HANDS + dealer - 1
        start[s] += P_CARD[[one - 1, two - 1, dealer - 1]].prod()
    return start


def stick_from(total: int, n_states: int = N_HANDS) -> Floats:
    """The policy (S, A) that sticks on `total` or more, and hits below."""
    a = np.full(n_states, STICK)
    a[:N_HANDS] = np.where(np.arange(N_HANDS) // 20 + LEAST >= total, STICK, HIT)
    return deterministic_policy(a, 2)
