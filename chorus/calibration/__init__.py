"""From weak-perspective predictions to calibrated pinhole cameras (SPEC 6)."""
