"""The replay buffer: what it keeps, what it draws, and how priorities are undone."""

import numpy as np
import pytest
import torch

from rlcourse.deep import replay as r


def generators(n, seed=0):
    return [torch.Generator().manual_seed(seed + b) for b in range(n)]


def transition(k, learners=2, size=3):
    """The k-th transition of each learner; every number in it says k and whose it is."""
    mark = 100 * torch.arange(learners) + k
    s = mark[:, None] + torch.arange(size) / 10
    return r.Batch(s, mark, mark.float(), s + 1, mark % 2 == 0, mark % 5 == 0)


def filled(count, capacity, learners=2):
    buffer = r.empty_replay(capacity, transition(0, learners))
    for k in range(count):
        r.add(buffer, transition(k, learners))
    return buffer


def test_the_newest_transitions_are_kept_and_the_oldest_are_overwritten():
    buffer = filled(count=7, capacity=4)
    assert (buffer.size, buffer.capacity, buffer.count) == (4, 4, 7)
    for b in range(2):
        assert sorted(buffer.held.a[b].tolist()) == [100 * b + k for k in (3, 4, 5, 6)]


def test_a_buffer_that_is_not_full_holds_all_that_was_added():
    assert filled(count=3, capacity=5).size == 3


def test_the_parts_of_a_transition_stay_together():
    buffer = filled(count=9, capacity=6)
    slots = r.draw_slots(buffer, 5, 1, generators=generators(2))[0]
    batch = r.at(buffer, slots)
    assert batch.s.shape == (2, 5, 3)
    assert (batch.r == batch.a).all()
    assert (batch.terminated == (batch.a % 2 == 0)).all()
    assert (batch.truncated == (batch.a % 5 == 0)).all()
    torch.testing.assert_close(batch.s, batch.a[..., None] + torch.arange(3) / 10)
    torch.testing.assert_close(batch.s_next, batch.s + 1)
    assert (batch.a // 100 == torch.arange(2)[:, None]).all()  # nobody learns from a neighbour's


def test_each_kept_transition_is_drawn_equally_often():
    buffer = filled(count=10, capacity=7)
    slots = r.draw_slots(buffer, 50, 200, generators=generators(2, seed=5))
    for b in range(2):
        counts = np.bincount(slots[:, b].ravel().numpy(), minlength=7)
        expected = counts.sum() / 7
        assert ((counts - expected) ** 2 / expected).sum() < 22.5  # χ² with 6 degrees: 1 in 1000


def test_empty_slots_are_never_drawn():
    slots = r.draw_slots(filled(3, 100), 50, 20, generators=generators(2))
    assert slots.max() == 2
    assert slots.min() == 0


def test_the_draws_of_a_learner_do_not_depend_on_its_neighbours():
    both = r.draw_slots(filled(5, 5), 4, 3, generators=generators(2, seed=8))
    alone = r.draw_slots(filled(5, 5, 1), 4, 3, generators=generators(1, seed=9))
    assert (both[:, 1:] == alone).all()


def test_an_empty_buffer_says_that_there_is_nothing_to_draw():
    with pytest.raises(ValueError, match="replay must hold n = 1 transitions or more, got 0"):
        r.draw_slots(filled(0, 4), 2, 1, generators=generators(2))
    with pytest.raises(ValueError, match="capacity must be an integer"):
        filled(0, 0)


# ------------------------------------------------------------------------------- n steps


def episodes(count, capacity, seed=0):
    """A ring of random steps of two learners, some of which end an episode, and all of them."""
    rng = np.random.default_rng(seed)
    made, buffer = [], None
    for k in range(count):
        s = torch.as_tensor([[k, b] for b in range(2)]).double()
        flags = torch.as_tensor(rng.random((2, 2)) < 0.2)
        new = r.Batch(s, s[:, 0].long(), torch.as_tensor(rng.normal(size=2)), s + 0.5, *flags)
        buffer = buffer or r.empty_replay(capacity, new)
        r.add(buffer, new)
        made.append(new)
    return buffer, made


@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("capacity", [9, 100])
def test_n_steps_are_what_a_loop_says(n, capacity):
    buffer, made = episodes(30, capacity)
    slots = r.draw_slots(buffer, 50, 1, n, generators=generators(2))[0]
    found, discount = r.n_step_transitions(buffer, slots, n, 0.9)
    for b in range(2):
        for i in range(50):
            k = first = int(buffer.held.a[b, slots[b, i]])
            earned, m = 0.0, 0
            while True:
                earned, m = earned + 0.9**m * made[k].r[b], m + 1
                if made[k].terminated[b] or made[k].truncated[b] or m == n:
                    break
                k += 1
            assert found.a[b, i] == found.s[b, i, 0] == first
            assert found.r[b, i] == pytest.approx(float(earned))
            assert discount[b, i] == pytest.approx(0.9**m)
            assert found.s_next[b, i, 0] == k + 0.5
            assert found.terminated[b, i] == made[k].terminated[b]


def test_n_steps_never_run_from_the_newest_into_the_oldest():
    buffer, _ = episodes(30, 9)
    slots = r.draw_slots(buffer, 500, 1, 4, generators=generators(2))[0]
    assert set(buffer.held.a[0][slots[0]].tolist()) == set(range(21, 27))
    with pytest.raises(ValueError, match="replay must hold n = 4 transitions or more, got 3"):
        r.draw_slots(episodes(3, 9)[0], 1, 1, 4, generators=generators(2))


# ------------------------------------------------------------------------------- priorities


def test_priorities_are_powers_of_the_errors_and_zero_is_uniform():
    error = torch.tensor([[3.0, -1.0, 0.0], [0.5, 0.5, 8.0]], dtype=torch.float64)
    p = r.priority_probabilities(error, 0.6, 0.1)
    by_hand = np.array([[3.1, 1.1, 0.1], [0.6, 0.6, 8.1]]) ** 0.6
    np.testing.assert_allclose(p, by_hand / by_hand.sum(1, keepdims=True))
    np.testing.assert_allclose(r.priority_probabilities(error, 0.0), 1 / 3)


def test_weights_make_the_expected_update_that_of_uniform_replay():
    """With β = 1: Σ P(i) w_i x_i is proportional to the plain mean of x."""
    rng = np.random.default_rng(3)
    p = torch.as_tensor(rng.dirichlet(np.ones(6), 4))
    x = torch.as_tensor(rng.normal(size=6))
    weights = r.importance_weights(p, 1.0)
    ratio = (p * weights * x).sum(-1) / (p * weights).sum(-1)
    torch.testing.assert_close(ratio, x.mean().expand(4))
    assert (weights.amax(-1) == 1).all()
    assert (r.importance_weights(p, 0.0) == 1).all()
