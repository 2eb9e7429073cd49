"""Random numbers of the playgrounds: those of the published generator, here and in the script."""

import numpy as np

from rlcourse.playgrounds import _random

SEEDS = (0, 1, 2026, 2**31, 2**32 - 1)


def published(seed, n):
    """mulberry32 in Python's whole numbers, cut to 32 bits after each operation."""
    found = []
    for _ in range(n):
        seed = (seed + 0x6D2B79F5) % 2**32
        t = (seed ^ seed >> 15) * (seed | 1) % 2**32
        t ^= (t + (t ^ t >> 7) * (t | 61)) % 2**32
        found.append(t ^ t >> 14)
    return found


def test_words_are_those_of_the_published_generator():
    for seed in SEEDS:
        assert _random.words(seed, 50).tolist() == published(seed, 50)
        assert _random.words(seed, 7, start=31).tolist() == published(seed, 38)[31:]


def test_the_script_draws_the_same(evaluate):
    script = """(seed) => {
      const [next, word] = [uniforms(seed), words(seed)];
      return Array.from({ length: 20 }, () => [next(), word() >>> 0]);
    }"""
    for seed, found in zip(SEEDS, evaluate("monte_carlo", script, SEEDS), strict=True):
        uniform, word = np.array(found).T
        np.testing.assert_array_equal(uniform, _random.uniforms(seed, 20))
        np.testing.assert_array_equal(word, _random.words(seed, 20))


def test_normals_are_normal():
    x = _random.normals(3, 200, 500)
    assert x.shape == (200, 500)
    n = x.size
    assert abs(x.mean()) < 4 / np.sqrt(n)
    assert abs((x**2).mean() - 1) < 4 * np.sqrt(2 / n)
    assert abs((np.abs(x) < 1).mean() - 0.6827) < 4 * np.sqrt(0.6827 * 0.3173 / n)


def test_a_generator_goes_on_where_it_stopped():
    rng = _random.generator(5)
    pieces = [rng.random(n) for n in (3, 2**14, 1, 40)]
    np.testing.assert_array_equal(np.concatenate(pieces), _random.uniforms(5, 44 + 2**14))
