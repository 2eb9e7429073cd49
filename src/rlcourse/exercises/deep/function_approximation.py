"""The six exercises of the function approximation chapter: two families of features, the mean of
linear TD, and one step of three methods: semi-gradient TD, recursive least squares, TDC.

Axes differ in size and vary: D coordinates, F features, T tilings, S states; (...) learners.
"""

from itertools import product

import numpy as np

from rlcourse.deep import features, least_squares, linear_td, mean_updates
from rlcourse.deep.least_squares import LstdState
from rlcourse.deep.linear_td import GradientTD
from rlcourse.deep.mean_updates import LinearSystem
from rlcourse.exercises.tabular.temporal_difference import alone, slips_of_every_target, steps
from rlcourse.grading import exercise

# ------------------------------------------------------------------------------- Fourier features

fourier_features = exercise(
    features.fourier_features,
    nudge="Along one coordinate: 0, 1, ..., n half waves of a cosine. Along several, every way to "
    "choose one number for each.",
    worked={"x": np.array([[0.0, 1.0], [0.5, 1.0]]), "order": 1},
)


@fourier_features.check(points=2)
def test_fourier_features_are_cosines_with_whole_numbers_of_half_waves(rng):
    for n, order in ((7, 3), (4, 6), (9, 12)):
        yield {"x": rng.random((n, 1)), "order": order}
    yield {"x": rng.random((5, 2)), "order": 1}


@fourier_features.check(points=1)
def test_fourier_features_combine_every_frequency_of_every_coordinate(rng):
    """every combination of frequencies has its feature, the last coordinate's fastest"""
    for shape, order in (((5, 2), 3), ((6, 3), 2), ((2, 4), 1), ((3, 2), 7), ((4, 5), 1)):
        yield {"x": rng.random(shape), "order": order}


@fourier_features.check(points=1)
def test_fourier_features_of_one_point_or_a_grid_lie_along_the_last_axis(rng):
    for shape, order in (((2,), 3), ((1,), 4), ((1, 3), 1), ((4, 3, 2), 2), ((2, 1, 5, 3), 1)):
        yield {"x": rng.random(shape), "order": order}


@fourier_features.check(points=1)
def test_fourier_features_hold_in_the_corners_and_at_order_zero(rng):
    """in the corners of the box, and at order 0, where one constant is left"""
    for shape, order in (((6, 2), 2), ((7, 3), 3), ((4, 1), 5)):
        x = rng.random(shape)
        x[:2] = rng.integers(2, size=(2, shape[1]))
        x[2] = 1
        yield {"x": x, "order": order}
        yield {"x": x, "order": 0}


def waves(x, order, low=0, sizes=None):
    """π c·x for all frequencies low, ..., order: (..., F)."""
    c = np.array(list(product(range(low, order + 1), repeat=x.shape[-1])), float)
    return np.pi * x @ c.T


@fourier_features.misconception(
    "Half a wave over the box is cos(π x): without π it bends too late."
)
def forgets_pi(x, order):
    return np.cos(waves(x, order) / np.pi)


@fourier_features.misconception(
    "Half waves, cos(π c·x): whole ones have the same value at both ends, which v need not have."
)
def takes_whole_waves(x, order):
    return np.cos(2 * waves(x, order))


@fourier_features.misconception("The wave is a cosine: sines are all 0 at x = 0, the constant too.")
def takes_sines(x, order):
    return np.sin(waves(x, order))


@fourier_features.misconception(
    "Each frequency is at most n by itself: their sum may be as large as D n."
)
def bounds_the_sum_of_frequencies(x, order):
    rows = [c for c in product(range(order + 1), repeat=x.shape[-1]) if sum(c) <= order]
    return np.cos(np.pi * x @ np.array(rows, float).T)


@fourier_features.misconception("Frequency 0 belongs to it: c = 0 gives the constant feature 1.")
def drops_the_constant(x, order):
    return np.cos(waves(x, order))[..., 1:]


@fourier_features.misconception("Frequencies begin at 0, so that there are n + 1 of them, not n.")
def begins_at_frequency_one(x, order):
    return np.cos(waves(x, order, low=1)) if order else np.zeros((*x.shape[:-1], 0))


@fourier_features.misconception("The highest frequency is n itself: range(n + 1), not range(n).")
def stops_before_the_order(x, order):
    return np.cos(waves(x, order - 1)) if order else np.zeros((*x.shape[:-1], 0))


@fourier_features.misconception("The last coordinate's frequency runs fastest: (0, 0), (0, 1), ...")
def runs_through_the_first_coordinate_first(x, order):
    return np.cos(waves(x[..., ::-1], order))


@fourier_features.misconception(
    "Add up c_d x_d first: the cosine of a sum is no product of cosines."
)
def multiplies_the_cosines(x, order):
    c = np.array(list(product(range(order + 1), repeat=x.shape[-1])), float)
    return np.cos(np.pi * x[..., None, :] * c).prod(-1)


@fourier_features.misconception(
    "Coordinates act together: without mixed frequencies such as (1, 1) v is a sum of functions "
    "of one coordinate."
)
def leaves_mixed_frequencies_out(x, order):
    rows = [c for c in product(range(order + 1), repeat=x.shape[-1]) if np.count_nonzero(c) < 2]
    return np.cos(np.pi * x @ np.array(rows, float).T)


@fourier_features.misconception("Sutton & Barto divide the step size by |c|, not the feature.")
def divides_by_the_length_of_the_frequency(x, order):
    c = np.array(list(product(range(order + 1), repeat=x.shape[-1])), float)
    length = np.sqrt((c**2).sum(-1))
    return np.cos(np.pi * x @ c.T) / np.where(length == 0, 1, length)


@fourier_features.misconception(
    "The coordinates lie along the last axis, of one point too: D is x.shape[-1], not x.shape[1]."
)
def counts_coordinates_along_axis_one(x, order):
    c = np.array(list(product(range(order + 1), repeat=x.shape[1])), float)
    return np.cos(np.pi * x @ c.T)


@fourier_features.misconception("Not every state has two coordinates: let D choose the loops.")
def serves_two_coordinates_alone(x, order):
    every = [(i, j) for i in range(order + 1) for j in range(order + 1)]
    return np.cos(np.pi * x @ np.array(every, float).T)


@fourier_features.control
def waves_one_at_a_time(x, order):
    found = []
    for number in range((order + 1) ** x.shape[-1]):
        angle = np.zeros(x.shape[:-1])
        for d in reversed(range(x.shape[-1])):
            number, c = divmod(number, order + 1)
            angle = angle + c * x[..., d]
        found.append(np.cos(np.pi * angle))
    return np.stack(found, axis=-1)


@fourier_features.control
def waves_as_the_real_part_of_products(x, order):
    found = np.ones((*x.shape[:-1], 1), complex)
    for d in range(x.shape[-1]):
        one = np.exp(1j * np.pi * x[..., d, None] * np.arange(order + 1))
        found = (found[..., :, None] * one[..., None, :]).reshape(*x.shape[:-1], -1)
    return found.real


# ------------------------------------------------------------------------------- tile coding

tile_indices = exercise(
    features.tile_indices,
    nudge="One tiling, one coordinate: how many tiles lie left of x? Then shift the tiling, and "
    "number the tiles of a grid row by row.",
    worked={"x": np.array([[0.125, 0.25], [1.0, 0.625]]), "tilings": 2, "tiles": 4},
)


@tile_indices.check(points=2)
def test_tile_indices_number_the_tiles_of_a_tiling_with_the_last_coordinate_fastest(rng):
    """the n + 1 tiles along each coordinate are numbered with the last coordinate fastest"""
    for shape, tiles in (((9, 1), 5), ((8, 2), 3), ((7, 3), 4), ((20, 2), 30)):
        yield {"x": rng.random(shape), "tilings": 1, "tiles": tiles}
    yield {"x": rng.random((30, 1)), "tilings": 2, "tiles": 6}


@tile_indices.check(points=2)
def test_tile_indices_shift_every_tiling_and_coordinate_by_another_fraction(rng):
    """tiling k is shifted along coordinate d by k (2d - 1) / T of a tile, without whole tiles"""
    for shape, tilings, tiles in (((30, 2), 8, 4), ((9, 3), 4, 2), ((8, 4), 5, 3), ((40, 2), 3, 7)):
        yield {"x": rng.random(shape), "tilings": tilings, "tiles": tiles}
    yield {"x": rng.random((30, 5)), "tilings": 16, "tiles": 1}


@tile_indices.check(points=1)
def test_tile_indices_put_an_edge_into_the_tile_on_its_right(rng):
    """a point on an edge belongs to the tile that begins there, also at 0 and at 1"""
    for shape, tilings, tiles in (((23, 1), 4, 4), ((19, 2), 2, 8), ((17, 3), 8, 2)):
        x = rng.integers(tiles * tilings + 1, size=shape) / (tiles * tilings)
        x[:3] = rng.integers(2, size=(3, shape[1]))
        x[0] = 1
        yield {"x": rng.permutation(x), "tilings": tilings, "tiles": tiles}
    yield {"x": np.array([[1.0], [0.0], [rng.random()]]), "tilings": 7, "tiles": 10}


@tile_indices.check(points=1)
def test_tile_indices_of_one_point_or_a_grid_lie_along_the_last_axis(rng):
    for shape, tilings, tiles in (((2,), 4, 8), ((1,), 3, 5), ((1, 3), 2, 1), ((4, 3, 2), 8, 6)):
        yield {"x": rng.random(shape), "tilings": tilings, "tiles": tiles}


def shifts(x, tilings, first=0, odd=1):
    """k (2d - 1) / T mod 1 of tiling k, along coordinate d: (T, D)."""
    k, d = np.arange(first, first + tilings)[:, None], np.arange(x.shape[-1])
    return k * (2 * d + odd) / tilings % 1


def cells(x, tiles, shift):
    """The cell along each coordinate in each tiling: (..., T, D)."""
    return np.floor(tiles * x[..., None, :] + shift).astype(int)


def numbered(cell, side, stride=None):
    """Cells in a row, `side` to a coordinate; tilings one after the other: (..., T)."""
    d = np.arange(cell.shape[-1])[::-1]
    stride = side ** cell.shape[-1] if stride is None else stride
    return np.arange(cell.shape[-2]) * stride + (cell * side**d).sum(-1)


@tile_indices.misconception(
    "Tilings that all lie alike see no more than one does: shift tiling k by k (2d - 1) / T."
)
def shifts_no_tiling(x, tilings, tiles):
    return numbered(cells(x, tiles, 0 * shifts(x, tilings)), tiles + 1)


@tile_indices.misconception(
    "Another shift for each coordinate, 1, 3, 5, ...: alike, the tiles line up along a diagonal."
)
def shifts_all_coordinates_alike(x, tilings, tiles):
    same = np.arange(tilings)[:, None] / tilings + np.zeros(x.shape[-1])
    return numbered(cells(x, tiles, same), tiles + 1)


@tile_indices.misconception("The first coordinate is d = 1: its factor is 1, the next one's 3.")
def counts_coordinates_from_zero(x, tilings, tiles):
    return numbered(cells(x, tiles, shifts(x, tilings, odd=-1)), tiles + 1)


@tile_indices.misconception("The factors are 1, 3, 5, ...: 2d - 1 for d from 1, 2d + 1 from 0.")
def begins_with_factor_three(x, tilings, tiles):
    return numbered(cells(x, tiles, shifts(x, tilings, odd=3)), tiles + 1)


@tile_indices.misconception("The factors are the odd numbers 1, 3, 5, ..., not 1, 2, 3, ...")
def shifts_by_every_whole_number(x, tilings, tiles):
    k, d = np.arange(tilings)[:, None], np.arange(x.shape[-1])
    return numbered(cells(x, tiles, k * (d + 1) / tilings % 1), tiles + 1)


@tile_indices.misconception("The first tiling is k = 0 and is not shifted at all.")
def counts_tilings_from_one(x, tilings, tiles):
    return numbered(cells(x, tiles, shifts(x, tilings, first=1)), tiles + 1)


@tile_indices.misconception(
    "Shift by less than a tile, mod 1: whole tiles more lead beyond the n + 1 that there are."
)
def shifts_by_whole_tiles_too(x, tilings, tiles):
    k, d = np.arange(tilings)[:, None], np.arange(x.shape[-1])
    return numbered(cells(x, tiles, k * (2 * d + 1) / tilings), tiles + 1)


@tile_indices.misconception(
    "The shift is a fraction of a tile: multiply x by n first, then add it."
)
def shifts_by_a_fraction_of_the_box(x, tilings, tiles):
    cell = np.floor(tiles * (x[..., None, :] + shifts(x, tilings))).astype(int)
    return numbered(cell, tiles + 1)


@tile_indices.misconception("The shift is added: subtracted, the first cells have number -1.")
def subtracts_the_shift(x, tilings, tiles):
    return numbered(cells(x, tiles, -shifts(x, tilings)), tiles + 1)


@tile_indices.misconception(
    "A shifted tiling needs n + 1 tiles along each coordinate: with n two tiles share a number."
)
def leaves_no_room_for_the_shift(x, tilings, tiles):
    return numbered(cells(x, tiles, shifts(x, tilings)), tiles)


@tile_indices.misconception("A point on the last edge has a tile of its own: don't clip at n - 1.")
def clips_the_last_tile(x, tilings, tiles):
    return numbered(np.minimum(cells(x, tiles, shifts(x, tilings)), tiles - 1), tiles + 1)


@tile_indices.misconception("A tile has the width 1 / n: there are n of them before the shift.")
def cuts_into_one_tile_more(x, tilings, tiles):
    return numbered(cells(x, tiles + 1, shifts(x, tilings)), tiles + 1)


@tile_indices.misconception("The tile of x begins at or below it: floor, don't round.")
def rounds_to_the_nearest_tile(x, tilings, tiles):
    cell = np.round(tiles * x[..., None, :] + shifts(x, tilings)).astype(int)
    return numbered(cell, tiles + 1)


@tile_indices.misconception("A tile holds its lower edge, not its upper one: floor, not ceil - 1.")
def gives_edges_to_the_tile_on_the_left(x, tilings, tiles):
    cell = np.ceil(tiles * x[..., None, :] + shifts(x, tilings)).astype(int) - 1
    return numbered(cell, tiles + 1)


@tile_indices.misconception(
    "Each tiling has numbers of its own: add k (n + 1)^D, or its tiles share weights with others."
)
def numbers_all_tilings_alike(x, tilings, tiles):
    return numbered(cells(x, tiles, shifts(x, tilings)), tiles + 1, stride=0)


@tile_indices.misconception(
    "A tiling has (n + 1)^D tiles, not n^D: with less the tilings run into each other."
)
def leaves_tilings_too_little_room(x, tilings, tiles):
    side = tiles ** x.shape[-1]
    return numbered(cells(x, tiles, shifts(x, tilings)), tiles + 1, stride=side)


@tile_indices.misconception("Tilings come one after the other, all the tiles of one together.")
def weaves_the_tilings(x, tilings, tiles):
    cell = cells(x, tiles, shifts(x, tilings))
    return numbered(cell, tiles + 1, stride=0) * tilings + np.arange(tilings)


@tile_indices.misconception(
    "The last coordinate runs fastest: its factor is 1, the first's is most."
)
def numbers_columns_first(x, tilings, tiles):
    return numbered(cells(x, tiles, shifts(x, tilings))[..., ::-1], tiles + 1)


@tile_indices.misconception("An index is an integer: np.floor gives floats, add .astype(int).")
def leaves_floats(x, tilings, tiles):
    return 1.0 * features.tile_indices(x, tilings, tiles)


@tile_indices.misconception("Asked are the T numbers of the tiles, not F features of 0 and 1.")
def gives_the_features(x, tilings, tiles):
    return features.tile_features(x, tilings, tiles)


@tile_indices.control
def tiles_one_at_a_time(x, tilings, tiles):
    found = np.zeros((*x.shape[:-1], tilings), int)
    for *at, k in np.ndindex(found.shape):
        number = k
        for d, coordinate in enumerate(x[tuple(at)], 1):
            shift = (k * (2 * d - 1)) % tilings / tilings
            number = number * (tiles + 1) + int(coordinate * tiles + shift)
        found[(*at, k)] = number
    return found


@tile_indices.control
def tiles_of_a_grid_of_all_tilings(x, tilings, tiles):
    k, d = np.arange(tilings), range(x.shape[-1])
    cell = [
        (tiles * x[..., i, None] + np.modf(k * (2 * i + 1) / tilings)[0]).astype(int) for i in d
    ]
    every = (np.broadcast_to(k, cell[0].shape), *cell)
    return np.ravel_multi_index(every, (tilings, *(tiles + 1 for _ in d)))


# ------------------------------------------------------------------------------- the mean of TD

td_system = exercise(
    mean_updates.td_system,
    nudge="Write the mean of δ φ over the states, d(s) of the time in s, and gather what w "
    "multiplies.",
    worked={
        "phi": np.array([[1.0], [2.0]]),
        "p": np.array([[0.0, 1.0], [0.5, 0.0]]),
        "r": np.array([2.0, 1.0]),
        "d": np.array([0.25, 0.75]),
        "gamma": 0.5,
    },
)


def world(rng, n_states, n_features, size=1.0, gamma=None):
    """A chain that never ends, features, rewards, and states that are seen more or less often."""
    return {
        "phi": rng.normal(size=(n_states, n_features)),
        "p": rng.dirichlet(np.full(n_states, 0.5), size=n_states),
        "r": size * rng.normal(size=n_states),
        "d": rng.dirichlet(np.ones(n_states)),
        "gamma": rng.uniform(0.3, 0.95) if gamma is None else gamma,
    }


@td_system.check(points=2)
def test_the_td_system_weighs_each_state_by_how_often_it_is_seen(rng):
    for n_states, n_features in ((7, 3), (5, 2), (6, 4)):
        yield world(rng, n_states, n_features)
    yield world(rng, 8, 5, gamma=0.995)


@td_system.check(points=1)
def test_the_td_system_loses_what_ends(rng):
    """a row of P may sum to less than 1, to 0 even: what is missing has ended"""
    for n_states, n_features in ((6, 3), (5, 2), (4, 7)):
        case = world(rng, n_states, n_features)
        goes_on = rng.uniform(0.2, 1, n_states)
        goes_on[rng.integers(n_states)] = 0
        yield case | {"p": goes_on[:, None] * case["p"]}


@td_system.check(points=1)
def test_the_td_system_takes_states_as_often_as_another_policy_sees_them(rng):
    """d is what was given: uniform, sure of one state, or nothing for some of them"""
    for n_states, n_features in ((5, 3), (7, 2)):
        case = world(rng, n_states, n_features)
        some = case["d"] * (rng.permutation(n_states) > 1)
        yield case | {"d": some / some.sum()}
        yield case | {"d": np.eye(n_states)[rng.integers(n_states)]}
        rare = np.where(np.arange(n_states) == 0, 1e-6, case["d"] + 0.1)
        large = case["r"] * np.where(np.arange(n_states) == 0, 1e6, 1)
        yield case | {"d": rare / rare.sum(), "r": large}
        yield case | {"d": np.full(n_states, 1 / n_states)}


@td_system.check(points=1)
def test_the_td_system_holds_for_one_state_or_feature_and_for_large_rewards(rng):
    """one state, one feature, more features than states, gamma 0 and 1, large rewards"""
    for n_states, n_features, gamma in ((1, 3, 1.0), (6, 1, 0.0), (3, 8, 1), (4, 9, 0)):
        yield world(rng, n_states, n_features, 1e4, gamma)
    yield world(rng, 1, 1)
    tiles = np.eye(4)[rng.integers(4, size=9)]
    yield world(rng, 9, 4) | {"phi": tiles}


def mean_of_steps(phi, p, r, d, gamma):
    return phi - gamma * p @ phi


@td_system.misconception("States are seen more or less often: weigh each by d(s).")
def weighs_all_states_alike(phi, p, r, d, gamma):
    return mean_updates.td_system(phi, p, r, 0 * d + 1 / len(d), gamma)


@td_system.misconception("The mean over the states is Σ d(s) ...: don't leave d out.")
def adds_all_states_up(phi, p, r, d, gamma):
    return mean_updates.td_system(phi, p, r, 0 * d + 1, gamma)


@td_system.misconception("d weighs the rewards as well: b = ΦᵀDr.")
def weighs_a_alone(phi, p, r, d, gamma):
    return LinearSystem(mean_updates.td_system(phi, p, r, d, gamma).a, phi.T @ r)


@td_system.misconception("d weighs A as well: ΦᵀD(I - γP)Φ.")
def weighs_b_alone(phi, p, r, d, gamma):
    return LinearSystem(phi.T @ (phi - gamma * p @ phi), phi.T * d @ r)


@td_system.misconception("The weights d enter once: D, and not D².")
def weighs_twice(phi, p, r, d, gamma):
    return mean_updates.td_system(phi, p, r, d**2, gamma)


@td_system.misconception(
    "d weighs the state that is left: D(I - γP). (I - γP)D weighs the one that follows."
)
def weighs_the_state_that_follows(phi, p, r, d, gamma):
    both = np.eye(len(d)) - gamma * p
    return LinearSystem(phi.T @ (both * d) @ phi, phi.T * d @ r)


@td_system.misconception(
    "Row s of P leads from s: PΦ averages the features of what follows, not Pᵀ."
)
def turns_the_transitions_round(phi, p, r, d, gamma):
    return mean_updates.td_system(phi, p.T, r, d, gamma)


@td_system.misconception("The first Φ is transposed: A_ij = Σ d φ_i (φ_j - γφ'_j). That is Aᵀ.")
def gives_a_transposed(phi, p, r, d, gamma):
    a, b = mean_updates.td_system(phi, p, r, d, gamma)
    return LinearSystem(a.T, b)


@td_system.misconception("The mean update is b - A w: A = ΦᵀD(I - γP)Φ, with this sign.")
def turns_the_sign_of_a_round(phi, p, r, d, gamma):
    a, b = mean_updates.td_system(phi, p, r, d, gamma)
    return LinearSystem(-a, b)


@td_system.misconception("What follows is discounted: I - γP.")
def forgets_to_discount(phi, p, r, d, gamma):
    return mean_updates.td_system(phi, p, r, d, 1.0)


@td_system.misconception("γ discounts what follows, not the state itself: I - γP, not γ(I - P).")
def discounts_the_state_too(phi, p, r, d, gamma):
    return LinearSystem(gamma * phi.T * d @ (phi - p @ phi), phi.T * d @ r)


@td_system.misconception("I - γP: the own value v(s) is subtracted from the target, PΦ is not all.")
def takes_what_follows_alone(phi, p, r, d, gamma):
    return LinearSystem(phi.T * d @ (gamma * p @ phi), phi.T * d @ r)


@td_system.misconception("A row of P that sums to less than 1 says that it may end: leave it so.")
def makes_every_row_sum_to_one(phi, p, r, d, gamma):
    total = p.sum(1, keepdims=True)
    return mean_updates.td_system(phi, p / np.where(total == 0, 1, total), r, d, gamma)


@td_system.misconception("r(s) is the mean reward of the step from s: no P before it.")
def takes_the_rewards_one_step_later(phi, p, r, d, gamma):
    return mean_updates.td_system(phi, p, p @ r, d, gamma)


@td_system.misconception("d is given: it may be that of another policy, not what P settles at.")
def settles_at_a_distribution_of_its_own(phi, p, r, d, gamma):
    own = np.full(len(d), 1 / len(d))
    for _ in range(200):
        own = own @ p + (1 - p.sum(1)) @ own / len(d)
    return mean_updates.td_system(phi, p, r, own, gamma)


@td_system.misconception(
    "That is the least Bellman error: TD moves along φ alone, and not along φ - γφ'."
)
def takes_the_full_gradient(phi, p, r, d, gamma):
    slope = phi - gamma * p @ phi
    return LinearSystem(slope.T * d @ slope, slope.T * d @ r)


@td_system.misconception(
    "That is the best fit of the rewards: what follows is worth something too."
)
def fits_the_rewards_alone(phi, p, r, d, gamma):
    return mean_updates.td_system(phi, p, r, d, 0.0)


@td_system.misconception("Asked are A and b, not the w that solves A w = b.")
def solves_the_system(phi, p, r, d, gamma):
    a, b = mean_updates.td_system(phi, p, r, d, gamma)
    return LinearSystem(a, np.linalg.lstsq(a, b)[0])


@td_system.misconception("The two answers are swapped: LinearSystem(a, b), the matrix first.")
def swaps_the_matrix_and_the_vector(phi, p, r, d, gamma):
    a, b = mean_updates.td_system(phi, p, r, d, gamma)
    return LinearSystem(b, a)


@td_system.control
def system_with_diagonal_matrices(phi, p, r, d, gamma):
    weights = phi.T @ np.diag(d)
    return LinearSystem(weights @ (np.eye(len(d)) - gamma * p) @ phi, weights @ r)


@td_system.control
def system_state_by_state(phi, p, r, d, gamma):
    n_states, n_features = phi.shape
    a, b = np.zeros((n_features, n_features)), np.zeros(n_features)
    for s in range(n_states):
        follows = sum(p[s, j] * phi[j] for j in range(n_states))
        a += d[s] * np.outer(phi[s], phi[s] - gamma * follows)
        b += d[s] * r[s] * phi[s]
    return LinearSystem(a, b)


# ------------------------------------------------------------------------------- semi-gradient TD

semi_gradient_td_step = exercise(
    linear_td.semi_gradient_td_step,
    nudge="The target counts as a constant. What is then the gradient of φ(s)ᵀw?",
    worked={
        "w": np.array([[1.0, 2.0], [1.0, 2.0]]),
        "phi": np.array([[1.0, 0.0], [1.0, -1.0]]),
        "r": np.array([1.0, 2.0]),
        "phi_next": np.array([[0.0, 1.0], [3.0, 4.0]]),
        "terminated": np.array([False, True]),
        "alpha": 0.1,
        "gamma": 0.5,
    },
)


def transitions(rng, shape, ends=0, size=3.0, **more):
    """A transition of each learner, `ends` of which end; shape (..., F)."""
    case = steps(rng, shape[:-1], ends, size, **more)
    return case | {"phi": rng.normal(size=shape), "phi_next": rng.normal(size=shape)}


def td_steps(rng, shape, ends=0, size=3.0, **more):
    """Transitions with weights and one step size for all: shape (..., F)."""
    case = transitions(rng, shape, ends, size, **more)
    return case | {"w": size * rng.normal(size=shape), "alpha": rng.uniform(0.05, 0.5)}


@semi_gradient_td_step.check(points=2)
def test_semi_gradient_td_moves_along_the_features_by_the_error(rng):
    for shape in ((7, 3), (4, 6), (8, 2)):
        yield td_steps(rng, shape)
    yield td_steps(rng, (5, 9), gamma=0.995)


@semi_gradient_td_step.check(points=1)
def test_semi_gradient_td_lets_nothing_follow_an_end_but_keeps_its_reward(rng):
    """nothing follows an end, but its reward counts; the flag is a boolean or 0 or 1"""
    for shape, ends, kind in (((7, 3), 3, bool), ((5, 4), 2, int), ((6, 2), 5, float)):
        yield td_steps(rng, shape, ends, kind=kind)


@semi_gradient_td_step.check(points=1)
def test_semi_gradient_td_gives_every_learner_a_step_size_of_its_own(rng):
    for shape, ends in (((6, 4), 0), ((5, 3), 2), ((2, 3, 5), 1), ((1, 4), 0)):
        case = td_steps(rng, shape, ends)
        yield case | {"alpha": rng.uniform(0.02, 0.9, shape[:-1])}


@semi_gradient_td_step.check(points=1)
def test_semi_gradient_td_serves_one_learner_or_feature_and_many(rng):
    """one learner in plain numbers, one feature, any leading axes"""
    yield alone(td_steps(rng, (4,)))
    yield alone(td_steps(rng, (3,), 1))
    for shape, ends in (((1, 5), 0), ((6, 1), 2), ((1, 1), 0), ((2, 3, 4), 2), ((4, 1, 7), 1)):
        yield td_steps(rng, shape, ends)


@semi_gradient_td_step.check(points=1)
def test_semi_gradient_td_holds_at_gamma_one_and_zero_and_for_large_values(rng):
    for shape, gamma in (((6, 4), 1.0), ((5, 3), 0.0), ((7, 2), 1), ((4, 9), 0)):
        yield td_steps(rng, shape, 2, 1e4, gamma=gamma)
        case = td_steps(rng, shape, 1, gamma=gamma)
        yield case | {n: 1.0 * (case[n] > 0) for n in ("phi", "phi_next")}  # tiles, say
        yield case | {"phi_next": case["phi"], "alpha": 1.0}  # the state that it was in


slips_of_every_target(semi_gradient_td_step)


def times(x, phi):
    """A number for each learner, times its features."""
    return np.asarray(x)[..., None] * phi


@semi_gradient_td_step.misconception(
    "The target counts as a constant: move along φ(s), not along φ(s) - γφ(s')."
)
def follows_the_full_gradient(**case):
    return linear_td.residual_gradient_step(**case)


@semi_gradient_td_step.misconception("What is corrected is v(s): move along φ(s), not along φ(s').")
def moves_along_the_next_features(w, phi, r, phi_next, terminated, alpha, gamma):
    delta = linear_td.td_error(w, phi, r, phi_next, terminated, gamma)
    return w + times(alpha * delta, phi_next)


@semi_gradient_td_step.misconception("A positive error says that v(s) is too low: add α δ φ(s).")
def moves_away_from_the_target(w, alpha, **case):
    return linear_td.semi_gradient_td_step(w=w, alpha=-alpha, **case)


@semi_gradient_td_step.misconception("A step goes a part of the way: multiply by α.")
def forgets_the_step_size(alpha, **case):
    return linear_td.semi_gradient_td_step(alpha=0 * alpha + 1, **case)


@semi_gradient_td_step.misconception("The error is the target less what was believed: - φ(s)ᵀw.")
def forgets_the_old_value(w, phi, r, phi_next, terminated, alpha, gamma):
    v_next = linear_td.linear_value(phi_next, w)
    return w + times(alpha * (r + gamma * (1 - terminated) * v_next), phi)


@semi_gradient_td_step.misconception("Asked are the new weights: add the step to the old ones.")
def gives_the_step_alone(w, **case):
    return linear_td.semi_gradient_td_step(w=w, **case) - w


@semi_gradient_td_step.misconception("α multiplies the whole error: α (target - φ(s)ᵀw).")
def shrinks_the_target_alone(w, phi, r, phi_next, terminated, alpha, gamma):
    v_next = linear_td.linear_value(phi_next, w)
    target = r + gamma * (1 - terminated) * v_next
    return w + times(alpha * target - linear_td.linear_value(phi, w), phi)


@semi_gradient_td_step.misconception("Learners are independent: each has an error of its own.")
def takes_the_mean_error_of_all(w, phi, r, phi_next, terminated, alpha, gamma):
    delta = linear_td.td_error(w, phi, r, phi_next, terminated, gamma)
    return w + times(alpha * delta.mean(), phi)


@semi_gradient_td_step.misconception("Learners are independent: don't add their steps up.")
def adds_the_steps_of_all_learners(w, phi, r, phi_next, terminated, alpha, gamma):
    delta = linear_td.td_error(w, phi, r, phi_next, terminated, gamma)
    step = times(alpha * delta, phi)
    return w + step.sum(tuple(range(step.ndim - 1)))


@semi_gradient_td_step.misconception("Each step ends or goes on by itself: ends are not shared.")
def ends_all_if_one_ends(terminated, **case):
    return linear_td.semi_gradient_td_step(terminated=0 * terminated + np.max(terminated), **case)


@semi_gradient_td_step.misconception("An end teaches the most: v(s) still moves, towards r.")
def learns_nothing_where_it_ended(w, terminated, alpha, **case):
    return linear_td.semi_gradient_td_step(
        w=w, terminated=terminated, alpha=alpha * (1 - terminated), **case
    )


@semi_gradient_td_step.misconception("w += ... writes into the caller's weights: w + ... instead.")
def writes_into_the_weights(w, phi, r, phi_next, terminated, alpha, gamma):
    w += times(alpha * linear_td.td_error(w, phi, r, phi_next, terminated, gamma), phi)
    return w


@semi_gradient_td_step.misconception("φ(s) is not scaled to length 1: α δ φ, as it stands.")
def divides_by_the_length_of_the_features(w, phi, **case):
    step = linear_td.semi_gradient_td_step(w=w, phi=phi, **case) - w
    return w + step / np.maximum((phi**2).sum(-1, keepdims=True), 1e-9)


@semi_gradient_td_step.misconception(
    "phi @ w multiplies matrices: for B learners multiply element by element, then sum(-1)."
)
def multiplies_matrices(w, phi, r, phi_next, terminated, alpha, gamma):
    delta = r + gamma * (1 - terminated) * (phi_next @ w) - phi @ w
    return w + times(alpha * delta, phi)


@semi_gradient_td_step.misconception(
    "alpha may have a value for each learner: multiply it by δ, before the features' axis comes."
)
def spreads_the_step_sizes_over_the_features(w, phi, r, phi_next, terminated, alpha, gamma):
    delta = linear_td.td_error(w, phi, r, phi_next, terminated, gamma)
    return w + alpha * delta[..., None] * phi


@semi_gradient_td_step.control
def td_learner_by_learner(w, phi, r, phi_next, terminated, alpha, gamma):
    new = np.array(w)
    rates, rewards, ends = (np.broadcast_to(x, w.shape[:-1]) for x in (alpha, r, terminated))
    for at in np.ndindex(w.shape[:-1]):
        target = rewards[at] if ends[at] else rewards[at] + gamma * (phi_next[at] @ w[at])
        new[at] += rates[at] * (target - phi[at] @ w[at]) * phi[at]
    return new


@semi_gradient_td_step.control
def td_by_a_difference_of_features(w, phi, r, phi_next, terminated, alpha, gamma):
    follows = np.where(np.asarray(terminated, bool)[..., None], 0.0, gamma * phi_next)
    delta = r + np.einsum("...f,...f->...", follows - phi, w)
    return w + np.einsum("...,...f->...f", np.asarray(alpha * delta), phi)


# ------------------------------------------------------------------------------- recursive LSTD

recursive_lstd_step = exercise(
    least_squares.recursive_lstd_step,
    nudge="A sample adds φ gᵀ to the matrix, a column times a row. What does that do to its "
    "inverse M? Only Mφ, gᵀM and one number are needed.",
    worked={
        "state": LstdState(np.array([[0.5, 0.25], [0.0, 1.0]]), np.array([1.0, 3.0])),
        "phi": np.array([1.0, 0.0]),
        "r": 2.0,
        "phi_next": np.array([0.0, 1.0]),
        "terminated": False,
        "gamma": 0.5,
    },
)


def lstd_steps(rng, shape, ends=0, size=3.0, ridge=None, **more):
    """A sample for each learner, after many others or (with a ridge) after none; shape (..., F).

    The number that the step divides by stays away from 0.
    """
    while True:
        case = transitions(rng, shape, ends, size, **more)
        m, b = np.eye(shape[-1]) + np.zeros((*shape, shape[-1])), np.zeros(shape)
        if ridge is None:
            m, b = 1.5 * m + 0.4 * rng.normal(size=m.shape), size * rng.normal(size=shape)
        else:
            m = m / ridge
        g = slope(**case)
        if (np.abs(1 + np.einsum("...i,...ij,...j->...", g, m, case["phi"])) > 0.3).all():
            return case | {"state": LstdState(m, b)}


def slope(phi, phi_next, terminated, gamma, **_):
    """g = φ - γ (1 - terminated) φ'."""
    return phi - gamma * (1 - np.asarray(terminated))[..., None] * phi_next


@recursive_lstd_step.check(points=2)
def test_recursive_lstd_keeps_the_inverse_of_a_matrix_that_is_not_symmetric(rng):
    for shape in ((6, 3), (4, 5), (7, 2)):
        yield lstd_steps(rng, shape)
    yield lstd_steps(rng, (3, 6), gamma=0.995)


@recursive_lstd_step.check(points=1)
def test_recursive_lstd_begins_with_the_inverse_of_a_ridge(rng):
    for shape, ridge in (((5, 3), 0.01), ((3, 4), 30.0), ((6, 2), 1.0)):
        yield lstd_steps(rng, shape, ridge=ridge)


@recursive_lstd_step.check(points=1)
def test_recursive_lstd_lets_nothing_follow_an_end_but_keeps_its_reward(rng):
    """nothing follows an end, but its reward counts; the flag is a boolean or 0 or 1"""
    for shape, ends, kind in (((7, 3), 3, bool), ((5, 4), 2, int), ((6, 2), 5, float)):
        yield lstd_steps(rng, shape, ends, kind=kind)


@recursive_lstd_step.check(points=1)
def test_recursive_lstd_serves_one_learner_or_feature_and_many(rng):
    """one learner in plain numbers, one feature, any leading axes"""
    for shape, ends in (((4,), 0), ((3,), 1)):
        case = lstd_steps(rng, shape, ends)
        state = case.pop("state")
        yield alone(case) | {"state": state}
    for shape, ends in (((1, 5), 0), ((6, 1), 2), ((1, 1), 0), ((2, 3, 4), 2), ((4, 1, 2), 1)):
        yield lstd_steps(rng, shape, ends)


@recursive_lstd_step.check(points=1)
def test_recursive_lstd_holds_at_gamma_one_and_zero_and_for_large_rewards(rng):
    for shape, gamma in (((6, 4), 1.0), ((5, 3), 0.0), ((7, 2), 1), ((4, 6), 0)):
        yield lstd_steps(rng, shape, 2, 1e4, gamma=gamma)
        case = lstd_steps(rng, shape, gamma=gamma)
        tiles = np.eye(shape[-1])[rng.integers(shape[-1], size=shape[0])]
        yield case | {"phi": 0 * tiles if gamma == 1 else tiles, "phi_next": tiles}


def outer(x, y):
    return x[..., :, None] * y[..., None, :]


def on_the_left(m, x):
    """M x of each learner."""
    return (m @ x[..., None])[..., 0]


def shermans(m, column, row, divisor):
    return m - outer(column, row) / np.asarray(divisor)[..., None, None]


def earned(state, phi, r):
    return state.b + times(r, phi)


def lstd_slip(sentence):
    """A slip in what is made of M, φ and g; b is as it should be."""

    def decorate(inverse):
        def wrong(state, phi, r, phi_next, terminated, gamma):
            g = slope(phi, phi_next, terminated, gamma)
            return LstdState(inverse(state.inverse, phi, g), earned(state, phi, r))

        wrong.__name__ = inverse.__name__
        return recursive_lstd_step.misconception(sentence)(wrong)

    return decorate


@lstd_slip(
    "A positive product makes the matrix larger and its inverse smaller: minus (the plus on page "
    "178 of Zhao is a misprint)."
)
def adds_the_correction(m, phi, g):
    return 2 * m - shermans(m, on_the_left(m, phi), on_the_left(m.mT, g), 1 + dotted(m, phi, g))


def dotted(m, phi, g):
    """gᵀMφ of each learner."""
    return (g * on_the_left(m, phi)).sum(-1)


@lstd_slip("Divide by 1 + gᵀMφ: the 1 keeps it away from 0 while φ is small.")
def forgets_the_one(m, phi, g):
    divisor = dotted(m, phi, g)
    divisor = np.where(divisor == 0, 1, divisor)
    return shermans(m, on_the_left(m, phi), on_the_left(m.mT, g), divisor)


@lstd_slip("Divide by 1 + gᵀMφ, plus: the sign before the product is that of the sum A + φgᵀ.")
def divides_by_one_minus(m, phi, g):
    return shermans(m, on_the_left(m, phi), on_the_left(m.mT, g), 1 - dotted(m, phi, g))


@lstd_slip("Divide by 1 + gᵀMφ: without it the step goes too far.")
def divides_by_nothing(m, phi, g):
    return shermans(m, on_the_left(m, phi), on_the_left(m.mT, g), 0 * dotted(m, phi, g) + 1)


@lstd_slip("TD's matrix sums φ gᵀ with g = φ - γφ'. Of φ φᵀ it would be the best fit of rewards.")
def adds_phi_twice(m, phi, g):
    return shermans(m, on_the_left(m, phi), on_the_left(m.mT, phi), 1 + dotted(m, phi, phi))


@lstd_slip("The matrix sums φ gᵀ, not g gᵀ: that would be the least Bellman error's.")
def adds_the_slope_twice(m, phi, g):
    return shermans(m, on_the_left(m, g), on_the_left(m.mT, g), 1 + dotted(m, g, g))


@lstd_slip("The column is Mφ and the row gᵀM: exchanged, they belong to the matrix of g φᵀ.")
def exchanges_the_features_and_the_slope(m, phi, g):
    return shermans(m, on_the_left(m, g), on_the_left(m.mT, phi), 1 + dotted(m, g, phi))


@lstd_slip("M is not symmetric: the row is gᵀM, which is Mᵀg and not Mg.")
def multiplies_the_row_from_the_left(m, phi, g):
    return shermans(m, on_the_left(m, phi), on_the_left(m, g), 1 + dotted(m, phi, g))


@lstd_slip("M is not symmetric: the column is Mφ, not Mᵀφ.")
def multiplies_the_column_from_the_right(m, phi, g):
    return shermans(m, on_the_left(m.mT, phi), on_the_left(m.mT, g), 1 + dotted(m, phi, g))


@lstd_slip("A column times a row is a matrix: turned round, it is the transpose.")
def turns_the_product_round(m, phi, g):
    return shermans(m, on_the_left(m.mT, g), on_the_left(m, phi), 1 + dotted(m, phi, g))


@lstd_slip("A column times a row is a matrix, F by F: x * y without new axes gives the diagonal.")
def multiplies_element_by_element(m, phi, g):
    product = on_the_left(m, phi) * on_the_left(m.mT, g)
    return m - (product / (1 + dotted(m, phi, g))[..., None])[..., None, :]


@lstd_slip("M is the inverse: φgᵀ is added to the matrix that M inverts, not to M.")
def adds_the_sample_to_the_inverse(m, phi, g):
    return m + outer(phi, g)


@lstd_slip("Learners are independent: each divides by a number of its own.")
def divides_all_learners_by_one_number(m, phi, g):
    divisor = 1 + dotted(m, phi, g).mean()
    return shermans(m, on_the_left(m, phi), on_the_left(m.mT, g), divisor)


@lstd_slip("m -= ... writes into the caller's matrix: m = m - ... instead.")
def writes_into_the_inverse(m, phi, g):
    column, row, divisor = on_the_left(m, phi), on_the_left(m.mT, g), 1 + dotted(m, phi, g)
    m -= outer(column, row) / np.asarray(divisor)[..., None, None]
    return m


@recursive_lstd_step.misconception("The episode ended: nothing follows, g is φ alone there.")
def takes_features_after_the_end(terminated, **case):
    return least_squares.recursive_lstd_step(terminated=0 * terminated, **case)


@recursive_lstd_step.misconception("The mask is upside down: φ' counts where it goes on.")
def takes_features_only_after_the_end(terminated, **case):
    return least_squares.recursive_lstd_step(terminated=1 - terminated, **case)


@recursive_lstd_step.misconception("The last reward is real: b gets it too.")
def cuts_off_the_last_reward(r, terminated, **case):
    return least_squares.recursive_lstd_step(r=r * (1 - terminated), terminated=terminated, **case)


@recursive_lstd_step.misconception("What follows is discounted: g = φ - γφ'.")
def leaves_gamma_out(gamma, **case):
    return least_squares.recursive_lstd_step(gamma=1.0, **case)


@recursive_lstd_step.misconception("Minus what follows: g = φ - γφ', for A = ΦᵀD(I - γP)Φ.")
def adds_what_follows(gamma, **case):
    return least_squares.recursive_lstd_step(gamma=-gamma, **case)


@recursive_lstd_step.misconception(
    "~ makes -1 and -2 of 0 and 1, and of Python's own False and True: write 1 - terminated."
)
def inverts_numbers_bit_by_bit(terminated, **case):
    number = isinstance(terminated, bool | int) or terminated.dtype.kind == "i"
    flags = 2 + 1 * terminated if number else terminated  # 1 - (2 + x) is ~x
    return least_squares.recursive_lstd_step(terminated=flags, **case)


@recursive_lstd_step.misconception("b sums r φ: the reward at what was seen then, not r g.")
def earns_along_the_slope(state, phi, r, phi_next, terminated, gamma):
    m = least_squares.recursive_lstd_step(state, phi, r, phi_next, terminated, gamma).inverse
    return LstdState(m, state.b + times(r, slope(phi, phi_next, terminated, gamma)))


@recursive_lstd_step.misconception("b sums r φ: rewards, no errors. What follows is in the matrix.")
def adds_the_error_to_b(state, phi, r, phi_next, terminated, gamma):
    m = least_squares.recursive_lstd_step(state, phi, r, phi_next, terminated, gamma).inverse
    delta = r - (slope(phi, phi_next, terminated, gamma) * on_the_left(state.inverse, state.b)).sum(
        -1
    )
    return LstdState(m, state.b + times(delta, phi))


@recursive_lstd_step.misconception("The sample's reward belongs to b: add r φ.")
def forgets_the_reward(r, **case):
    return least_squares.recursive_lstd_step(r=0 * r, **case)


@recursive_lstd_step.misconception("b is a sum over all samples: add r φ to what it was.")
def forgets_the_rewards_before(state, **case):
    new = least_squares.recursive_lstd_step(state=state, **case)
    return LstdState(new.inverse, new.b - state.b)


@recursive_lstd_step.misconception("The two answers are swapped: LstdState(inverse, b).")
def swaps_the_inverse_and_b(**case):
    m, b = least_squares.recursive_lstd_step(**case)
    return LstdState(b, m)


@recursive_lstd_step.misconception("Asked is what to remember, M and b; the weights are M b.")
def gives_the_weights(**case):
    return least_squares.recursive_lstd_step(**case).w


@recursive_lstd_step.control
def inverts_the_sum(state, phi, r, phi_next, terminated, gamma):
    m, b = state
    follows = np.where(np.asarray(terminated, bool)[..., None], 0.0, gamma * phi_next)
    a = np.linalg.inv(m) + outer(phi, phi - follows)
    return LstdState(np.linalg.inv(a), b + phi * np.asarray(r)[..., None])


@recursive_lstd_step.control
def solves_learner_by_learner(state, phi, r, phi_next, terminated, gamma):
    m, b = np.array(state.inverse), np.array(state.b)
    rewards, ends = (np.broadcast_to(x, b.shape[:-1]) for x in (r, terminated))
    for at in np.ndindex(b.shape[:-1]):
        g = phi[at] if ends[at] else phi[at] - gamma * phi_next[at]
        b[at] += rewards[at] * phi[at]
        m[at] = np.linalg.solve(np.eye(len(g)) + np.outer(m[at] @ phi[at], g), m[at])
    return LstdState(m, b)


# ------------------------------------------------------------------------------- TDC

tdc_step = exercise(
    linear_td.tdc_step,
    nudge="φᵀh guesses the error of s. First take the step of TD, then off it what that error does "
    "to the target.",
    worked={
        "w": np.array([1.0, 2.0]),
        "h": np.array([0.5, 1.0]),
        "phi": np.array([2.0, 0.0]),
        "r": np.array(1.0),
        "phi_next": np.array([0.0, 1.0]),
        "terminated": np.array(False),
        "rho": np.array(2.0),
        "alpha": 0.1,
        "beta": 0.2,
        "gamma": 0.5,
    },
)


def tdc_steps(rng, shape, ends=0, size=3.0, **more):
    """Transitions with both weights, a ratio each, and two step sizes for all: shape (..., F)."""
    return td_steps(rng, shape, ends, size, **more) | {
        "h": size * rng.normal(size=shape),
        "rho": rng.uniform(0.2, 3, shape[:-1]),
        "beta": rng.uniform(0.05, 0.5),
    }


@tdc_step.check(points=2)
def test_tdc_takes_from_the_step_of_td_what_the_error_does_to_the_target(rng):
    for shape in ((7, 3), (4, 6), (8, 2)):
        yield tdc_steps(rng, shape)
    yield tdc_steps(rng, (5, 9), gamma=0.995)


@tdc_step.check(points=1)
def test_tdc_without_a_guess_takes_the_step_of_td_and_begins_to_guess(rng):
    """from h = 0 the values move as TD does, and h begins to guess"""
    for shape in ((6, 3), (3, 5), (7, 2)):
        yield tdc_steps(rng, shape) | {"h": np.zeros(shape)}


@tdc_step.check(points=1)
def test_tdc_lets_nothing_follow_an_end_but_keeps_its_reward(rng):
    """nothing follows an end, but its reward counts; the flag is a boolean or 0 or 1"""
    for shape, ends, kind in (((7, 3), 3, bool), ((5, 4), 2, int), ((6, 2), 5, float)):
        yield tdc_steps(rng, shape, ends, kind=kind)


@tdc_step.check(points=1)
def test_tdc_weighs_both_steps_by_the_ratio(rng):
    """a ratio of 0 moves nothing, a large one moves both, 1 is on-policy"""
    for shape, size in (((7, 3), 30), ((5, 4), 1e3)):
        rho = rng.permutation(np.linspace(0, size, shape[0]) ** 1.5)
        yield tdc_steps(rng, shape) | {"rho": rho}
    yield tdc_steps(rng, (6, 2)) | {"rho": np.ones(6)}


@tdc_step.check(points=1)
def test_tdc_serves_one_learner_or_feature_and_many_with_step_sizes_of_their_own(rng):
    """one learner, one feature, any leading axes, step sizes for all or for each"""
    for ends in (0, 1):
        yield alone(tdc_steps(rng, (4 - ends,), ends))
    for shape, ends in (((1, 5), 0), ((6, 1), 2), ((2, 3, 4), 2)):
        case = tdc_steps(rng, shape, ends)
        yield case
        yield case | {n: rng.uniform(0.02, 0.9, shape[:-1]) for n in ("alpha", "beta")}


@tdc_step.check(points=1)
def test_tdc_holds_at_gamma_one_and_zero_and_for_large_values(rng):
    for shape, gamma in (((6, 4), 1.0), ((5, 3), 0.0), ((7, 2), 1), ((4, 9), 0)):
        yield tdc_steps(rng, shape, 2, 1e4, gamma=gamma)
        case = tdc_steps(rng, shape, 1, gamma=gamma)
        yield case | {n: 1.0 * (case[n] > 0) for n in ("phi", "phi_next")}  # tiles, say


slips_of_every_target(tdc_step)


class Parts:
    """What the two steps are made of, from the case of one exercise."""

    def __init__(self, w, h, phi, r, phi_next, terminated, rho, alpha, beta, gamma):
        self.w, self.h, self.phi, self.phi_next = w, h, phi, phi_next
        self.delta = linear_td.td_error(w, phi, r, phi_next, terminated, gamma)
        self.guess = linear_td.linear_value(phi, h)
        self.follows = gamma * (1 - np.asarray(terminated))
        self.rates, self.rho = (alpha, beta), rho

    def both(self, along=None, weigh=(1, 1), error=None):
        """The two new sets of weights; `along` instead of the step of w, `error` of h's."""
        right = times(self.delta, self.phi) - times(self.follows * self.guess, self.phi_next)
        along = right if along is None else along
        error = self.delta - self.guess if error is None else error
        rho = [np.asarray(self.rho if on else 1.0) for on in weigh]
        return GradientTD(
            self.w + times(self.rates[0] * rho[0], along),
            self.h + times(self.rates[1] * rho[1] * error, self.phi),
        )


@tdc_step.misconception("Both steps begin at the old weights: w uses h as it was.")
def moves_h_first(h, **case):
    new = linear_td.tdc_step(h=h, **case).h
    return GradientTD(linear_td.tdc_step(h=new, **case).w, new)


@tdc_step.misconception("Both steps begin at the old weights: h uses the error of w as it was.")
def moves_w_first(w, **case):
    new = linear_td.tdc_step(w=w, **case).w
    return GradientTD(new, linear_td.tdc_step(w=new, **case).h)


@tdc_step.misconception("That is TD with a ratio: the correction -γφ' φᵀh makes it a gradient.")
def forgets_the_correction(**case):
    x = Parts(**case)
    return x.both(times(x.delta, x.phi))


@tdc_step.misconception("The correction is subtracted: δφ - γφ' φᵀh.")
def adds_the_correction_of_w(**case):
    x = Parts(**case)
    return x.both(times(x.delta, x.phi) + times(x.follows * x.guess, x.phi_next))


@tdc_step.misconception("The correction moves along φ', the features of what follows.")
def corrects_along_the_features_of_s(**case):
    x = Parts(**case)
    return x.both(times(x.delta - x.follows * x.guess, x.phi))


@tdc_step.misconception("h guesses at s and corrects at s': γφ' (φᵀh), not γφ (φ'ᵀh).")
def guesses_at_the_next_state(**case):
    x = Parts(**case)
    guess = linear_td.linear_value(x.phi_next, x.h)
    return x.both(times(x.delta - x.follows * guess, x.phi))


@tdc_step.misconception("What follows is discounted in the correction as well: γφ' φᵀh.")
def corrects_without_gamma(terminated, **case):
    x = Parts(terminated=terminated, **case)
    follows = times((1 - np.asarray(terminated)) * x.guess, x.phi_next)
    return x.both(times(x.delta, x.phi) - follows)


@tdc_step.misconception("Nothing follows an end, so that nothing is to be corrected there.")
def corrects_past_the_end(gamma, **case):
    x = Parts(gamma=gamma, **case)
    return x.both(times(x.delta, x.phi) - times(gamma * x.guess, x.phi_next))


@tdc_step.misconception("That is GTD2: TDC takes the step of TD, δφ, and corrects it.")
def takes_the_step_of_gtd2(**case):
    x = Parts(**case)
    return x.both(times(x.guess, x.phi) - times(x.follows * x.guess, x.phi_next))


@tdc_step.misconception("The ratio weighs what was seen: h's step as well as w's.")
def weighs_the_step_of_w_alone(**case):
    return Parts(**case).both(weigh=(1, 0))


@tdc_step.misconception("The ratio weighs what was seen: w's step as well as h's.")
def weighs_the_step_of_h_alone(**case):
    return Parts(**case).both(weigh=(0, 1))


@tdc_step.misconception("Another policy acts: the ratio ρ makes up for how often it does.")
def forgets_the_ratio(rho, **case):
    return linear_td.tdc_step(rho=0 * rho + 1, **case)


@tdc_step.misconception("The ratio enters once: ρ, not ρ².")
def weighs_by_the_ratio_twice(rho, **case):
    return linear_td.tdc_step(rho=rho**2, **case)


@tdc_step.misconception("The ratio weighs the whole of h's step: ρ (δ - φᵀh), not ρδ - φᵀh.")
def weighs_the_error_of_h_alone(rho, **case):
    x = Parts(rho=rho, **case)
    return x.both(weigh=(1, 0), error=rho * x.delta - x.guess)


@tdc_step.misconception("The ratio weighs the whole step, not the target: ρδ, not ρ target - v(s).")
def weighs_the_target_alone(w, phi, rho, **case):
    x = Parts(w=w, phi=phi, rho=rho, **case)
    v = linear_td.linear_value(phi, w)
    delta = rho * (x.delta + v) - v
    step = times(delta, phi) - times(x.follows * x.guess * rho, x.phi_next)
    return x.both(step, weigh=(0, 0), error=delta - rho * x.guess)


@tdc_step.misconception("α is the step size of w, β that of h.")
def exchanges_the_step_sizes(alpha, beta, **case):
    return linear_td.tdc_step(alpha=beta, beta=alpha, **case)


@tdc_step.misconception("h has a step size of its own: β.")
def takes_one_step_size_for_both(beta, alpha, **case):
    return linear_td.tdc_step(alpha=alpha, beta=alpha, **case)


@tdc_step.misconception("h learns to guess δ: its error is δ - φᵀh, not δ alone.")
def lets_h_grow_without_end(**case):
    x = Parts(**case)
    return x.both(error=x.delta)


@tdc_step.misconception("h's error is δ - φᵀh: the guess that it made is subtracted.")
def adds_the_guess_to_its_error(**case):
    x = Parts(**case)
    return x.both(error=x.delta + x.guess)


@tdc_step.misconception("δ is the error of the values: φᵀw and φ'ᵀw, not φᵀh.")
def takes_the_error_of_h(w, h, **case):
    x, y = Parts(w=w, h=h, **case), Parts(w=h, h=h, **case)
    x.delta = y.delta
    return x.both()


@tdc_step.misconception("w += ... writes into the caller's weights: w = w + ... instead.")
def writes_into_the_weights_of_both(w, h, **case):
    new = linear_td.tdc_step(w=w, h=h, **case)
    w[...], h[...] = new
    return GradientTD(w, h)


@tdc_step.misconception("The two answers are swapped: GradientTD(w, h).")
def swaps_the_two_sets_of_weights(**case):
    w, h = linear_td.tdc_step(**case)
    return GradientTD(h, w)


@tdc_step.misconception("Learners are independent: each has a guess of its own.")
def takes_the_mean_guess_of_all(**case):
    x = Parts(**case)
    x.guess = np.mean(x.guess) + 0 * x.guess
    return x.both()


@tdc_step.misconception(
    "alpha and beta may have a value for each learner: multiply them by numbers of the learner, "
    "before the features' axis comes."
)
def spreads_both_step_sizes_over_the_features(alpha, beta, rho, **case):
    x = Parts(alpha=1.0, beta=1.0, rho=rho, **case)
    w, h = x.both()
    return GradientTD(x.w + alpha * (w - x.w), x.h + beta * (h - x.h))


@tdc_step.control
def tdc_learner_by_learner(w, h, phi, r, phi_next, terminated, rho, alpha, beta, gamma):
    new_w, new_h = np.array(w), np.array(h)
    shape = w.shape[:-1]
    every = [np.broadcast_to(x, shape) for x in (r, terminated, rho, alpha, beta)]
    for at in np.ndindex(shape):
        reward, end, ratio, step_w, step_h = (x[at] for x in every)
        after = 0.0 if end else gamma
        delta = reward + after * (phi_next[at] @ w[at]) - phi[at] @ w[at]
        guess = phi[at] @ h[at]
        new_w[at] += step_w * ratio * (delta * phi[at] - after * guess * phi_next[at])
        new_h[at] += step_h * ratio * (delta - guess) * phi[at]
    return GradientTD(new_w, new_h)


@tdc_step.control
def tdc_as_gtd2_and_the_rest(w, h, phi, r, phi_next, terminated, rho, alpha, beta, gamma):
    follows = np.where(np.asarray(terminated, bool)[..., None], 0.0, gamma * phi_next)
    error = r + ((follows - phi) * w).sum(-1) - (phi * h).sum(-1)
    slope_of_guess = (phi - follows) * (phi * h).sum(-1)[..., None]
    step = error[..., None] * phi + slope_of_guess
    return GradientTD(
        w + np.asarray(alpha * rho)[..., None] * step,
        h + np.asarray(beta * rho * error)[..., None] * phi,
    )
