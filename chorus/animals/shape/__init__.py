"""Articulated shape from one image: a camera and the hinges of a template (ACSM)."""
