"use strict";
// Packed arrays, refined volumes and their isosurfaces, as chorus/viewing/surfaces.py makes them.
const VOLUMES = (() => {
  const unpacks = typeof DecompressionStream !== "undefined"; // browsers from 2023 on

  function bytes(text) {
    const raw = atob(text);
    const out = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
    return out;
  }

  async function unpack(packed) {
    const raw = bytes(packed.bytes);
    if (packed.packing === "raw") return raw;
    if (!unpacks)
      throw new Error("this browser is too old to unpack the data; one from 2023 or later can");
    const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  // Probabilities at twice the resolution (cubic B-spline), with one ring of zeros around.
  function refine(values, shape, cubic) {
    let dims = shape.slice(), field = values;
    for (let axis = 0; axis < 3; axis++) {
      const n = dims[axis];
      let inner = 1, outer = 1;
      for (let a = axis + 1; a < 3; a++) inner *= dims[a];
      for (let a = 0; a < axis; a++) outer *= dims[a];
      const fine = new Float32Array(field.length * 2);
      for (let o = 0; o < outer; o++) for (let i = 0; i < n; i++) for (let s = -2; s <= 2; s++) {
        const j = i + s;
        if (j < 0 || j >= n) continue;
        const lower = s < 2 ? cubic[s + 2] : 0, upper = s > -2 ? cubic[2 - s] : 0;
        const from = (o * n + j) * inner, to = (o * 2 * n + 2 * i) * inner;
        for (let k = 0; k < inner; k++) {
          fine[to + k] += lower * field[from + k];
          fine[to + inner + k] += upper * field[from + k];
        }
      }
      field = fine;
      dims[axis] = 2 * n;
    }
    const [a, b, c] = dims, ringed = new Float32Array((a + 2) * (b + 2) * (c + 2));
    for (let i = 0; i < a; i++) for (let j = 0; j < b; j++)
      ringed.set(field.subarray((i * b + j) * c, (i * b + j + 1) * c), ((i + 1) * (b + 2) + j + 1) * (c + 2) + 1);
    return { values: ringed, shape: [a + 2, b + 2, c + 2] };
  }

  // A cluster's packed volume, refined, with what its surfaces are found by.
  async function open(packed, cubic) {
    const stored = await unpack(packed);
    const margin = 2, shape = packed.shape.map((n) => n + 2 * margin);
    const values = new Float32Array(shape[0] * shape[1] * shape[2]);
    const [, b, c] = packed.shape;
    for (let i = 0; i < packed.shape[0]; i++) for (let j = 0; j < b; j++) for (let k = 0; k < c; k++)
      values[((i + margin) * shape[1] + j + margin) * shape[2] + k + margin] =
        (stored[(i * b + j) * c + k] / 255) * packed.top;
    const fine = refine(values, shape, cubic);
    const size = packed.voxel / 2;
    // centre of the ringed grid's first cell, metres
    fine.origin = packed.start.map((s) => s - margin * packed.voxel - 0.5 * size);
    fine.size = size;
    fine.peak = fine.values.reduce((top, value) => Math.max(top, value), 0);
    cellRanges(fine);
    return fine;
  }

  // ---- isosurfaces: surface nets ---------------------------------------------------------------

  const CORNER = [], EDGE = [];
  for (let c = 0; c < 8; c++) CORNER.push([(c >> 2) & 1, (c >> 1) & 1, c & 1]);
  for (let a = 0; a < 8; a++) for (const bit of [4, 2, 1]) if (!(a & bit)) EDGE.push([a, a | bit]);

  let cellNumbers = new Int32Array(0);

  // Lowest and highest corner of every cell: tells at a glance which cells a level crosses.
  function cellRanges(field) {
    const [, nb, nc] = field.shape, v = field.values, steps = [1, nc, nb * nc];
    let low = v.slice(), high = v.slice();
    for (const step of steps) for (let at = 0; at < v.length - step; at++) {
      if (low[at + step] < low[at]) low[at] = low[at + step];
      if (high[at + step] > high[at]) high[at] = high[at + step];
    }
    field.low = low;
    field.high = high;
  }

  function surface(field, level) {
    const [na, nb, nc] = field.shape, v = field.values, { low, high } = field, sa = nb * nc, sb = nc;
    if (cellNumbers.length < v.length) cellNumbers = new Int32Array(v.length);
    const cell = cellNumbers, points = [], faces = [];
    const step = CORNER.map(([i, j, k]) => i * sa + j * sb + k);
    for (let i = 0; i < na - 1; i++) for (let j = 0; j < nb - 1; j++) for (let k = 0, at = i * sa + j * sb; k < nc - 1; k++, at++) {
      if (high[at] < level || low[at] >= level) continue;
      let mask = 0;
      for (let c = 0; c < 8; c++) if (v[at + step[c]] >= level) mask |= 1 << c;
      let x = 0, y = 0, z = 0, count = 0;
      for (let e = 0; e < 12; e++) {
        const p = EDGE[e][0], q = EDGE[e][1];
        if (((mask >> p) & 1) === ((mask >> q) & 1)) continue;
        const first = v[at + step[p]], s = (level - first) / (v[at + step[q]] - first);
        const a = CORNER[p], b = CORNER[q];
        x += a[0] + s * (b[0] - a[0]); y += a[1] + s * (b[1] - a[1]); z += a[2] + s * (b[2] - a[2]);
        count++;
      }
      cell[at] = points.length / 3;
      points.push(field.origin[0] + (i + x / count) * field.size, field.origin[1] + (j + y / count) * field.size, field.origin[2] + (k + z / count) * field.size);
      // the three edges at the cell's lowest corner: their four cells are all numbered by now
      const inside = mask & 1;
      if (i > 0 && j > 0 && k > 0) {
        if (inside !== ((mask >> 4) & 1)) quad(faces, inside, cell[at - sb - 1], cell[at - 1], cell[at], cell[at - sb]);
        if (inside !== ((mask >> 2) & 1)) quad(faces, inside, cell[at - 1 - sa], cell[at - sa], cell[at], cell[at - 1]);
        if (inside !== ((mask >> 1) & 1)) quad(faces, inside, cell[at - sa - sb], cell[at - sb], cell[at], cell[at - sa]);
      }
    }
    return { points: new Float32Array(points), faces: new Uint32Array(faces) };
  }

  function quad(faces, inside, a, b, c, d) {
    if (inside) faces.push(a, b, c, a, c, d);
    else faces.push(a, d, c, a, c, b);
  }

  return { unpacks, bytes, unpack, open, surface };
})();
