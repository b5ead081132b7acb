"""Occupancy: from calibrated samples to the distribution of an object around a body.

See method.md 7-10.

    space = canonical_space(body, preset("qual:demo"))       # canonical: grid, field, regions
    views = Views.of(pose, R, t, K, masks)                   # views: what is needed of samples
    counts = accumulate(space, views).counts["torso"]        # accumulate, counts: exact sums
    Distribution.from_counts(counts).save("torso.npz")       # distribution: query, pose, mesh

`accumulate` counts with `fused` (kernels, CPU) or `plain` (tensors, any device).
"""
