"""Persons fitted to their 2D keypoints by maximum a posteriori (method.md 5b)."""
