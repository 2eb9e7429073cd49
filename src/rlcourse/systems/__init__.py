"""Systems: the same numbers from less memory, moved fewer times. NumPy unless said."""
