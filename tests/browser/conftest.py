"""The fixtures of all browser tests; other folders import them from harness in the same way."""

from harness import browser, complaints, new_page

__all__ = ["browser", "complaints", "new_page"]
