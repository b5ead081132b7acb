"""Which samples are kept: the fifteen keypoint rules and the verdict on each sample.

See method.md 5.
"""
