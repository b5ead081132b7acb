"""What `chorus train` is made of: our own prior's examples, and the published one's."""
