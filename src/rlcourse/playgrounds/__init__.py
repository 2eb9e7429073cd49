"""Interactive figures that need neither a kernel nor a network."""

from ._base import Playground, bundle
from .dynamic_programming import DynamicProgrammingPlayground
from .gridworld import GridWorldPlayground
from .monte_carlo import MonteCarloPlayground
from .stochastic_approximation import StochasticApproximationPlayground
from .temporal_difference import TemporalDifferencePlayground

__all__ = [
    "DynamicProgrammingPlayground",
    "GridWorldPlayground",
    "MonteCarloPlayground",
    "Playground",
    "StochasticApproximationPlayground",
    "TemporalDifferencePlayground",
    "bundle",
]
