"""Four-legged animals: keypoints, pseudo-labels and articulated shape (docs/animals.md)."""
