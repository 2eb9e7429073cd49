"""Exercises: defined by a reference function, judged by named properties."""

from .exercise import Exercise as exercise

__all__ = ["exercise"]
