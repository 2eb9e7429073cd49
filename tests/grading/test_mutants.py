"""Mutants: every slip is made once, in the reference and in what it calls, and nowhere else."""

from typing import NamedTuple

import numpy as np
import pytest

from rlcourse.grading.mutants import family, mutants
from rlcourse.tabular import gridworld, mdp


class Box(NamedTuple):
    w: float
    h: float


def _double(x):
    return x + x


def half(x):
    return _double(x) / 4


def through_helpers(x):
    return half(x) - 1


def recursive(n):
    return 1 if n == 0 else n * recursive(n - 1)


def arithmetic(x, y):
    return x + y


def ordered(x, y):
    return x / y


def chained(x, y):
    return 0 <= x < y


def either(x, y, z):
    return x or y or z


def signed(x):
    return -x


def counted(x):
    return x[-1]


def branched(x, y):
    return x if y else -1.0


def method(x):
    return x.max(-1)


def module_call(x, y):
    return np.where(x, y, axis=0)


def record(box: Box):
    return box.w


def indexed(x, i):
    return x[:, i]


def sliced(x, n):
    return x[n:]


def shaped(n, m):
    return np.zeros((n, m))


def summed(x):
    return np.einsum("ij,jk->ik", x, x)


def filtered(xs):
    return [x for x in xs if x > 0]


def stepped(n):
    total = 0
    for i in range(n):
        if i > 2:
            continue
        total += i
    return total


def looping(n):
    while n > 1:
        n //= 2
    return n


def reassigned(x):
    x = abs(x)
    return x - 1


def refusing(x: float = 3.0) -> float:
    """Docstring with x + 1."""
    if x < 0:
        raise ValueError(f"x must be positive, got {x + 1}")

    def inner(y: int = 7) -> int:
        """Another one."""
        return y

    return inner()


def typed(x):
    return np.asarray(x + 1)


def lengthy(x):
    return x[0] + x[0]


SLIPS = {
    arithmetic: {"x + y  ->  x - y", "x + y  ->  x", "x + y  ->  y", "x  ->  y", "y  ->  x"},
    ordered: {"x / y  ->  x * y", "x / y  ->  y / x"},
    chained: {
        "0 <= x < y  ->  0 < x < y",
        "0 <= x < y  ->  0 <= x <= y",
        "0 <= x < y  ->  0 <= x",
        "0 <= x < y  ->  x < y",
        "0  ->  1",
        "0  ->  -1",
    },
    either: {"x or y or z  ->  x and y and z", "x or y or z  ->  x or z"},
    signed: {"-x  ->  x"},
    counted: {"-1  ->  0", "-1  ->  -2", "x[-1]  ->  x"},
    branched: {
        "x if y else -1.0  ->  -1.0 if y else x",
        "x if y else -1.0  ->  x",
        "-1.0  ->  0.0",
    },
    method: {"x.max(-1)  ->  x.max()", "x.max(-1)  ->  x", "x.max  ->  x.min", "-1  ->  0"},
    module_call: {
        "np.where(x, y, axis=0)  ->  np.where(y, x, axis=0)",
        "np.where(x, y, axis=0)  ->  np.where(x, y)",
        "np.where(x, y, axis=0)  ->  np.where(x, axis=0)",
        "0  ->  1",
    },
    record: {"box.w  ->  box.h"},
    indexed: {
        "x[:, i]  ->  x[:, i - 1]",
        "(:, i)  ->  (i, :)",
        "(:, i)  ->  (i,)",
        "x[:, i]  ->  x",
    },
    sliced: {"n:  ->  :", "n:  ->  n - 1:", "n:  ->  n + 1:"},
    shaped: {"(n, m)  ->  (m, n)", "np.zeros  ->  np.ones"},
    summed: {
        "'ij,jk->ik'  ->  'ij,jk->ki'",
        "'ij,jk->ik'  ->  'ji,jk->ik'",
    },
    filtered: {
        "for x in xs if x > 0  ->  for x in xs",
        "x > 0  ->  x >= 0",
        "x > 0  ->  x <= 0",
    },
    stepped: {
        "range(n)  ->  range(n - 1)",
        "range(n)  ->  range(n + 1)",
        "if i > 2:  ->  if not i > 2:",
        "if i > 2:  ->  if True:",
        "continue  ->  pass",
        "total += i  ->  total -= i",
        "total += i  ->  total = i",
        "total += i  ->  pass",
        "for i in range(n):  ->  pass",
    },
    looping: {"while n > 1:  ->  pass", "while n > 1:  ->  if n > 1:", "n //= 2  ->  n %= 2"},
    reassigned: {"x = abs(x)  ->  pass", "abs(x)  ->  x"},
}


def slips_of(function, spared=()):
    return [m.what.partition(": ")[2] for m in mutants(function, spared)]


@pytest.mark.parametrize("function", SLIPS, ids=lambda f: f.__name__)
def test_every_slip_of_the_hand_is_made(function):
    assert SLIPS[function] - set(slips_of(function)) == set()


@pytest.mark.parametrize("function", [*SLIPS, refusing, lengthy, through_helpers])
def test_no_two_mutants_have_one_name(function):
    names = [m.what for m in mutants(function)]
    assert len(names) == len(set(names)) > 0


def test_slips_of_one_text_are_told_apart_by_their_number():
    assert "x[0]  ->  x  in  return x[0] + x[0]  (no. 2)" in slips_of(lengthy)


def test_error_messages_docstrings_and_defaults_are_not_mutated():
    made = slips_of(refusing)
    assert not [what for what in made if "7" in what or "3.0" in what or "got" in what]
    assert "x < 0  ->  x <= 0" in made


def test_a_conversion_for_the_type_checker_is_no_slip_but_its_argument_is():
    assert slips_of(typed) == ["x + 1  ->  x - 1", "x + 1  ->  x", "x + 1  ->  1",
                               "1  ->  2", "1  ->  0"]  # fmt: skip


def test_helpers_are_mutated_and_bound_to_the_reference():
    answers = {m.what: m.function(3.0) for m in mutants(through_helpers) if _runs(m.function)}
    assert answers["_double: x + x  ->  x - x"] == -1.0
    assert answers["half: _double(x) / 4  ->  _double(x) * 4"] == 23.0
    assert answers["through_helpers: half(x) - 1  ->  half(x) + 1"] == 2.5


def _runs(function):
    try:
        function(3.0)
    except Exception:
        return False
    return True


def test_making_mutants_leaves_the_reference_as_it_was():
    list(mutants(through_helpers))
    assert through_helpers(3.0) == 0.5


def test_a_recursive_reference_calls_its_mutant():
    mutant = {m.what: m.function for m in mutants(recursive)}
    assert mutant["recursive: n * recursive(n - 1)  ->  n / recursive(n - 1)"](3) == 1.5


def test_helpers_of_other_modules_are_found_by_name_and_through_their_module():
    called = {f.__name__ for f in family(gridworld.iterative_evaluation)}
    assert {"bellman_expectation", "action_values"} <= called
    assert "solve" in {f.__name__ for f in family(gridworld.closed_form)}


def test_helpers_of_other_modules_are_bound_too():
    world = gridworld.grid_mdp(gridworld.GridWorld(2, 3, target=(5,)))
    pi = mdp.uniform_policy(world)
    name = "action_values: mdp.r + future  ->  future"
    made = {m.what: m.function for m in mutants(gridworld.iterative_evaluation)}
    assert np.abs(gridworld.iterative_evaluation(world, pi, 0.9, 1e-6)).max() > 0.1
    assert np.abs(made[name](world, pi, 0.9, 1e-6)).max() == 0


def test_spared_functions_and_modules_are_not_mutated():
    spared = {mdp.action_values, "rlcourse._check"}
    names = {what.what.split(":")[0] for what in mutants(gridworld.iterative_evaluation, spared)}
    assert names == {"iterative_evaluation", "bellman_expectation"}
