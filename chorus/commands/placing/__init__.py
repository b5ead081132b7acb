"""What `chorus place` is made of."""
