"""Occupancy: voxel grid, skinning field, per-azimuth-bin counts, clusters and `Distribution`."""
