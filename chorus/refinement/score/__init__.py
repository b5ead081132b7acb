"""A diffusion prior of poses guided by evidence (method.md 5d)."""
