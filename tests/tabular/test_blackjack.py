"""Blackjack against gymnasium's own functions, and an enumeration of the dealer's hands."""

from itertools import product

import gymnasium.envs.toy_text.blackjack as theirs
import numpy as np
import pytest

from rlcourse.tabular import blackjack as bj
from rlcourse.tabular import mdp as m
from rlcourse.tabular.gridworld import closed_form, value_iteration

RULES = [{}, {"sab": True}, {"natural": True}]


def dealer_hands(hand, p=1.0):
    """Every way in which the dealer's hand may end, by gymnasium's functions: (hand, p)."""
    if len(hand) > 1 and theirs.sum_hand(hand) >= 17:
        yield hand, p
    else:
        for card in set(theirs.deck):
            chance = theirs.deck.count(card) / len(theirs.deck)
            yield from dealer_hands([*hand, card], p * chance)


def dealt(card):
    """One hand for each sum of the dealer's, a natural apart, with the probability of its like."""
    kinds = {}
    for hand, p in dealer_hands([card]):
        kind = theirs.score(hand), theirs.is_natural(hand)
        kinds[kind] = (hand, kinds.get(kind, (hand, 0))[1] + p)
    return list(kinds.values())


DEALT = {card: dealt(card) for card in range(1, 11)}


class Shoe:
    """Cards in a given order, in place of gymnasium's random numbers."""

    def __init__(self, cards):
        self.cards = iter(cards)

    def choice(self, deck):
        return next(self.cards)


def reached(cards, dealer, **rules):
    """State, reward and end after hitting for all but the first two cards, in gymnasium."""
    env = theirs.BlackjackEnv(**rules)
    env._np_random = Shoe(cards[2:])
    env.player, env.dealer = list(cards[:2]), [dealer, 10]
    out = (env._get_obs(), 0.0, False)
    for _ in cards[2:]:
        out = env.step(1)[:3]
    return out


def number(cards, dealer, apart):
    """Our number of the state that gymnasium sees."""
    if apart and theirs.is_natural(cards):
        return bj.N_HANDS + dealer - 1
    return bj.state(theirs.sum_hand(cards), dealer, theirs.usable_ace(cards))


def test_the_sums_of_the_dealer_are_those_of_an_enumeration():
    for card, hands in DEALT.items():
        expected = np.zeros(23)
        for hand, p in hands:
            expected[min(theirs.sum_hand(hand), 22)] += p
        np.testing.assert_allclose(bj.dealer_totals(card), expected, atol=1e-12)


@pytest.mark.parametrize("rules", RULES)
def test_hitting_does_what_gymnasium_does(rules):
    game = bj.blackjack(**rules)
    for one, two in product(range(1, 11), repeat=2):
        for dealer in (1, 6):
            s = number([one, two], dealer, bool(rules))
            for k, card in enumerate(range(1, 11)):
                observed, r, terminated, *_ = reached([one, two, card], dealer, **rules)
                at = s, bj.HIT, k
                assert (game.mdp.r[at], game.mdp.terminated[at]) == (r, terminated)
                assert game.mdp.p[at] == pytest.approx(theirs.deck.count(card) / 13)
                if not terminated:
                    total, shown, usable = observed
                    assert game.mdp.s_next[at] == bj.state(total, shown, usable)


@pytest.mark.parametrize("rules", RULES)
def test_sticking_pays_what_gymnasium_pays(rules):
    game = bj.blackjack(**rules)
    expected = (game.mdp.p * game.mdp.r).sum(-1)
    for cards in ([1, 10], [1, 5, 5], [10, 10, 1], [2, 2], [1, 6], [10, 9], [8, 9], [10, 6]):
        for dealer, hands in DEALT.items():
            mean = 0.0
            for hand, p in hands:
                env = theirs.BlackjackEnv(**rules)
                env.player, env.dealer = list(cards), list(hand)
                mean += p * env.step(0)[1]
            s = number(cards, dealer, bool(rules))
            assert expected[s, bj.STICK] == pytest.approx(mean, abs=1e-12), (cards, dealer)
    assert game.mdp.terminated[:, bj.STICK].all()


@pytest.mark.parametrize("rules", RULES)
def test_the_first_hands_are_those_of_two_cards(rules):
    game = bj.blackjack(**rules)
    expected = np.zeros(len(game.start))
    for one, two, dealer in product(theirs.deck, repeat=3):
        expected[number([one, two], dealer, bool(rules))] += 13**-3
    np.testing.assert_allclose(game.start, expected, atol=1e-12)


def test_example_5_4_of_sutton_and_barto():
    """The printed value, -0.27726, was estimated from a hundred million games."""
    v = closed_form(bj.blackjack().mdp, bj.stick_from(20), 1.0)
    assert v[bj.state(13, 2, 1)] == pytest.approx(-0.277204, abs=5e-7)
    sab = bj.blackjack(sab=True).mdp
    again = closed_form(sab, bj.stick_from(20, len(sab.p)), 1.0)
    assert again[bj.state(13, 2, 1)] == pytest.approx(-0.277204, abs=5e-7)


def test_the_optimum_is_that_of_a_recursion_over_hands():
    """No table: the player's hands are lists of cards, scored by gymnasium's functions."""
    known = {}

    def worth(hand, dealer):
        key = (theirs.sum_hand(hand), theirs.usable_ace(hand), dealer)
        if theirs.is_bust(hand):
            return -1.0
        if key not in known:
            stick = sum(
                p * theirs.cmp(theirs.score(hand), theirs.score(other))
                for other, p in DEALT[dealer]
            )
            hit = sum(worth([*hand, card], dealer) for card in theirs.deck) / 13
            known[key] = max(stick, hit)
        return known[key]

    game = bj.blackjack()
    v, house = value_iteration(game.mdp, 1.0).v, 0.0
    for one, two, dealer in product(range(1, 11), repeat=3):
        best = worth([one, two], dealer)
        assert v[number([one, two], dealer, False)] == pytest.approx(best)
        house += np.prod([theirs.deck.count(card) / 13 for card in (one, two, dealer)]) * best
    assert v @ game.start == pytest.approx(house)
    assert house == pytest.approx(-0.0466, abs=5e-5)


def test_close_decisions_are_few_and_known():
    game = bj.blackjack()
    v = value_iteration(game.mdp, 1.0).v
    gap = np.abs(np.diff(m.action_values(game.mdp, v, 1.0)))[:, 0]
    assert gap[bj.state(12, 4, 0)] == gap.min() == pytest.approx(0.0025, abs=5e-5)
    close = {bj.state(t, d, 0) for t, d in ((12, 4), (16, 10), (13, 2), (12, 6), (12, 3))}
    assert set(np.flatnonzero(gap < 0.02)) == close


def test_a_natural_makes_the_game_better_where_it_counts():
    worth = [value_iteration(g.mdp, 1.0).v @ g.start for g in (bj.blackjack(**r) for r in RULES)]
    assert worth[0] < worth[1] < worth[2] < 0


@pytest.mark.parametrize("bad", [(3, 1, 0), (22, 1, 0), (12, 0, 0), (12, 11, 0), (12, 3, 2)])
def test_a_hand_that_is_none_is_refused(bad):
    with pytest.raises(ValueError, match="state must have a sum of 4"):
        bj.state(*bad)
