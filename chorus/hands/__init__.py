"""Hands: models, reconstruction from images, evaluation (docs/hands.md)."""
