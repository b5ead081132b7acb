"""Boxes, masks, pinhole and weak-perspective cameras, rotations (docs/conventions.md)."""
