"""Figures, turntables, the page of distributions and contact sheets."""
