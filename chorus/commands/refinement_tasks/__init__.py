"""What `chorus scorehmr` is made of: ScoreHMR's files, evaluations and demonstration."""
