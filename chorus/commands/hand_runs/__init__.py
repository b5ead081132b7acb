"""What `chorus hands` is made of."""
