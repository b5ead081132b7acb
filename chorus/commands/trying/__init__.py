"""What `chorus doctor --try NAME` is made of: a picture, runs of real networks, their checks."""
