"""The fused aggregation kernels: blend, project, look up and count in one pass (method.md 8).

A batch of at most 64 images goes through together. One voxel's verdicts on all of them are the bits
of two 64-bit words, `seen` (inside the image) and `hit` (inside the object's mask), so a
cluster's count in an azimuth bin grows by the number of bits that a word shares with the images
of that cluster and bin. Four voxels are blended at a time, which reads each image's matrices once
for four. Every voxel belongs to one call, so blocks of voxels may run in threads: the integers
depend on neither the number of threads nor the size of blocks and batches.

Arguments common to all, P a multiple of 4, L <= 64 images (a multiple of 16, padded with zeros):
rows: (weights (P, J), centres (P, 3)) float32, the skinning field at places in metres.
cameras: (J, 3, 4, L) float32, for each joint and image the map from a place to homogeneous pixels.
images: (width, height (L) float32, stride, offset (L) int32 in bits, words uint32, lowest pixel
coordinate, greatest depth that counts as behind). Word 0 is blank: a place outside looks there.
maps: (left, top, reach, scale (L) float32, limits float32), the depths beyond which the body hides
places (`body_depth`): first pixel and number of pixels of a map's square, cells per pixel, and the
cells of all maps, CELLS^2 each. Limit 0 is infinite: a place outside the square looks there.
"""

from __future__ import annotations

import numpy as np

from chorus.geometry.compiled import compiled
from chorus.occupancy.body_depth import CELLS

LANES = 16
"""Images are padded to whole multiples of this, so that all take the same vector instructions."""
ABREAST = 4
"""Voxels that are blended at a time."""


@compiled
def _count_ones(word):
    """Number of set bits of a uint64 (the compiler knows the idiom as one instruction)."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@compiled
def _project_four(row, rows, cameras, pixels):
    """pixels (3, 4, L) = homogeneous pixels of the places row..row+3 in every image."""
    weights, centres = rows
    lanes = cameras.shape[3]
    pixels[:] = 0
    for joint in range(weights.shape[1]):
        w0, w1 = weights[row, joint], weights[row + 1, joint]
        w2, w3 = weights[row + 2, joint], weights[row + 3, joint]
        if w0 + w1 + w2 + w3 == 0:
            continue
        x0, y0, z0 = w0 * centres[row, 0], w0 * centres[row, 1], w0 * centres[row, 2]
        x1, y1, z1 = w1 * centres[row + 1, 0], w1 * centres[row + 1, 1], w1 * centres[row + 1, 2]
        x2, y2, z2 = w2 * centres[row + 2, 0], w2 * centres[row + 2, 1], w2 * centres[row + 2, 2]
        x3, y3, z3 = w3 * centres[row + 3, 0], w3 * centres[row + 3, 1], w3 * centres[row + 3, 2]
        for axis in range(3):
            camera = cameras[joint, axis]
            p0, p1, p2, p3 = pixels[axis, 0], pixels[axis, 1], pixels[axis, 2], pixels[axis, 3]
            for image in range(lanes):
                a, b = camera[0, image], camera[1, image]
                c, d = camera[2, image], camera[3, image]
                p0[image] += x0 * a + y0 * b + z0 * c + w0 * d
                p1[image] += x1 * a + y1 * b + z1 * c + w1 * d
                p2[image] += x2 * a + y2 * b + z2 * c + w2 * d
                p3[image] += x3 * a + y3 * b + z3 * c + w3 * d


@compiled
def _look_up(across, down, depth, images, place):
    """(seen, hit) words of one place from its homogeneous pixels (L) in every image."""
    width, height, stride, offset, words, lowest, behind = images
    lanes = width.size
    # Without branches and with the look-up in a loop of its own, both loops are vectorised.
    for image in range(lanes):
        u = across[image] / depth[image]
        v = down[image] / depth[image]
        inside = (
            (depth[image] > behind)
            & (u >= lowest)
            & (u < width[image])
            & (v >= lowest)
            & (v < height[image])
        )
        bit = np.int32(u) * stride[image] + np.int32(v) + offset[image]
        place[image] = bit if inside else np.int32(0)
    seen = np.uint64(0)
    hit = np.uint64(0)
    for image in range(lanes):
        bit = place[image]
        word = words[bit >> 5] >> np.uint32(bit & 31)
        seen |= np.uint64(bit != 0) << np.uint64(image)
        hit |= np.uint64(word & np.uint32(1)) << np.uint64(image)
    return seen, hit


@compiled
def verdicts(start, stop, rows, cameras, images, seen, hit):
    """Write the words of the places start..stop-1 (start and stop multiples of 4) to seen, hit.

    seen, hit: (stop - start,) uint64.
    """
    lanes = cameras.shape[3]
    pixels = np.empty((3, ABREAST, lanes), np.float32)
    place = np.empty(lanes, np.int32)
    for row in range(start, stop, ABREAST):
        _project_four(row, rows, cameras, pixels)
        for k in range(ABREAST):
            seen[row - start + k], hit[row - start + k] = _look_up(
                pixels[0, k], pixels[1, k], pixels[2, k], images, place
            )


@compiled
def _beyond(across, down, depth, maps, cell):
    """The word of the images in which a place lies beyond the body's limit at its pixel.

    Like `_look_up`, which divides alike and therefore means the same pixel.
    """
    left, top, reach, scale, limits = maps
    lanes = left.size
    for image in range(lanes):
        column = np.trunc(across[image] / depth[image]) - left[image]
        row = np.trunc(down[image] / depth[image]) - top[image]
        within = (column >= 0) & (column < reach[image]) & (row >= 0) & (row < reach[image])
        # Half a pixel keeps the product clear of whole numbers: the quotient is exact.
        half = np.float32(0.5)
        at = np.int32((row + half) * scale[image]) * np.int32(CELLS)
        at += np.int32((column + half) * scale[image]) + np.int32(image * CELLS * CELLS + 1)
        cell[image] = at if within else np.int32(0)
    beyond = np.uint64(0)
    for image in range(lanes):
        beyond |= np.uint64(depth[image] > limits[cell[image]]) << np.uint64(image)
    return beyond


@compiled
def verdicts_and_hidden(start, stop, rows, cameras, images, maps, seen, hit, hidden):
    """`verdicts`, and the words of the images in which the body hides the places, to hidden."""
    lanes = cameras.shape[3]
    pixels = np.empty((3, ABREAST, lanes), np.float32)
    place = np.empty(lanes, np.int32)
    for row in range(start, stop, ABREAST):
        _project_four(row, rows, cameras, pixels)
        for k in range(ABREAST):
            at = row - start + k
            across, down, depth = pixels[0, k], pixels[1, k], pixels[2, k]
            seen[at], hit[at] = _look_up(across, down, depth, images, place)
            hidden[at] = seen[at] & ~hit[at] & _beyond(across, down, depth, maps, place)


@compiled
def add_ones(words, members, counts):
    """counts (P) uint32 += number of the images `members` (a word) in each of the words (>= P)."""
    for place in range(counts.size):
        counts[place] += np.uint32(_count_ones(words[place] & members))


@compiled
def touch(rows, cameras, images):
    """uint64: the images of the batch in which any of these places lies inside the mask."""
    lanes = cameras.shape[3]
    pixels = np.empty((3, ABREAST, lanes), np.float32)
    place = np.empty(lanes, np.int32)
    touched = np.uint64(0)
    for row in range(0, rows[0].shape[0], ABREAST):
        _project_four(row, rows, cameras, pixels)
        for k in range(ABREAST):
            _, hit = _look_up(pixels[0, k], pixels[1, k], pixels[2, k], images, place)
            touched |= hit
    return touched
