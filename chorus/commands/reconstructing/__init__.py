"""What `chorus reconstruct` and the reconstruction task of `chorus evaluate` are made of."""
