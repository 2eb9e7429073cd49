"""rlcourse: the tested code behind the course on reinforcement learning and LLM systems."""

__version__ = "0.1.0"
