"""Prompts, augprompts and image models (SPEC 1, 2)."""
