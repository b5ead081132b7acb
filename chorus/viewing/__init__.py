"""Figures, turntables, the HTML report and contact sheets."""
