"""Tabular reinforcement learning: every state has its own number. NumPy alone."""
