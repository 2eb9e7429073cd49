"""Interactive figures that need neither a kernel nor a network."""

from ._base import Playground, bundle
from .actor_critic import ActorCriticPlayground
from .checkpointing import CheckpointingPlayground
from .decoding import DecodingPlayground
from .dpo import DPOPlayground
from .dynamic_programming import DynamicProgrammingPlayground
from .flash_attention import FlashAttentionPlayground
from .gridworld import GridWorldPlayground
from .monte_carlo import MonteCarloPlayground
from .online_softmax import OnlineSoftmaxPlayground
from .ppo import PPOPlayground
from .stochastic_approximation import StochasticApproximationPlayground
from .temporal_difference import TemporalDifferencePlayground
from .zero import ZeROPlayground

__all__ = [
    "ActorCriticPlayground",
    "CheckpointingPlayground",
    "DPOPlayground",
    "DecodingPlayground",
    "DynamicProgrammingPlayground",
    "FlashAttentionPlayground",
    "GridWorldPlayground",
    "MonteCarloPlayground",
    "OnlineSoftmaxPlayground",
    "PPOPlayground",
    "Playground",
    "StochasticApproximationPlayground",
    "TemporalDifferencePlayground",
    "ZeROPlayground",
    "bundle",
]
