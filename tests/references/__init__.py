"""Plain versions of the fast operations, written for clarity, and inputs with known answers.

Tests compare the library with them; `python -m benchmarks` also measures how much faster it is.
"""
