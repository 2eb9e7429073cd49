"""Alignment: language models learn from demonstrations, comparisons, rewards. They need torch."""
