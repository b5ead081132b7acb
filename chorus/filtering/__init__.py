"""Which samples are kept: the fifteen keypoint rules and the verdict on each sample (SPEC 5)."""
