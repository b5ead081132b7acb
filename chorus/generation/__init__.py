"""Prompts, augprompts and image models (method.md 1, 2)."""
