"""What the quality gate found and a person let pass, each with the reason.

EQUIVALENT  exercise -> mutant, as the gate names it -> why it is no mistake
EXEMPT      exercise -> complaint about square or constant inputs -> why it must stand
ELSEWHERE   module -> why its functions are not mutated when a reference calls them

A line that the gate has no use for any more is refused. `python -m rlcourse.grading.gate`
prints the names to use.
"""

EQUIVALENT: dict[str, dict[str, str]] = {
    "tabular.gridworld.iterative_evaluation": {
        "iterative_evaluation: np.zeros  ->  np.ones": (
            "the fixed point does not depend on where the sweeps begin, nor does the bound"
        ),
        "iterative_evaluation: gamma * np.abs(v - before).max() <= (1 - gamma) * tolerance  ->  "
        "gamma * np.abs(v - before).max() < (1 - gamma) * tolerance": (
            "at equality, one sweep more than needed: the error is smaller still"
        ),
        "iterative_evaluation: gamma * np.abs(v - before).max()  ->  np.abs(v - before).max()": (
            "a stricter bound, since gamma < 1: the error is smaller still"
        ),
        "iterative_evaluation: v - before  ->  before - v": "its absolute value is taken",
    },
}

EXEMPT: dict[str, dict[str, str]] = {}

ELSEWHERE = {
    "rlcourse._check": "argument checks, with tests of their own; the cases show what is refused",
    "rlcourse.tabular.linear": "a fast linear solver, tested on its own against a dense solve",
}
