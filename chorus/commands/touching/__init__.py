"""What `chorus touch` and `chorus ask` are made of."""
