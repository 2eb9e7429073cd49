"""What a page of the book needs in its cells: setup, show, live, glue (NumPy and IPython, lazily).

The tools that build the book stand beside it and are imported by nobody else: extension (Sphinx),
execute (parallel execution into the cache), notebook (Colab notebooks), site (where things are).
"""

from .cells import glue, glued, live, setup, show

__all__ = ["glue", "glued", "live", "setup", "show"]
