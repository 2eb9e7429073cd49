"""Interactive figures that need neither a kernel nor a network."""

from ._base import Playground, bundle
from .gridworld import GridWorldPlayground

__all__ = ["GridWorldPlayground", "Playground", "bundle"]
