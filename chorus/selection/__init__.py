"""Soft selection: how far each sample can be trusted, and the samples to count (method.md 5c).

Keypoints are arrays (..., K, 3) of x, y, confidence, of whatever has keypoints.
"""
