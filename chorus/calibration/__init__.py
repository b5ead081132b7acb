"""From weak-perspective predictions to calibrated pinhole cameras (method.md 6)."""
