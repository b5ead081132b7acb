"""Evaluation: how good a learned distribution is."""
