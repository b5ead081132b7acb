"use strict";
// Forward kinematics and skinning, as chorus/body/model.py and chorus/occupancy/canonical.py do them.
// A transform is 12 numbers, the rows of (R | t); weights are bytes in 255 steps, joint by joint from
// the second on (joint 0 has the rest), and here become lists of the joints that move a point.
const POSING = (() => {
  function quaternion(pose, joint) {
    const [x, y, z] = [pose[3 * joint], pose[3 * joint + 1], pose[3 * joint + 2]];
    const angle = Math.hypot(x, y, z), s = angle > 1e-9 ? Math.sin(angle / 2) / angle : 0.5;
    return [x * s, y * s, z * s, Math.cos(angle / 2)];
  }

  // A share of the way from one rotation to another, the short way round.
  function between(from, to, share) {
    let cosine = from.reduce((sum, value, i) => sum + value * to[i], 0);
    const sign = cosine < 0 ? -1 : 1;
    cosine = Math.min(cosine * sign, 1);
    const angle = Math.acos(cosine), sine = Math.sin(angle);
    const a = sine > 1e-6 ? Math.sin((1 - share) * angle) / sine : 1 - share;
    const b = sine > 1e-6 ? (sign * Math.sin(share * angle)) / sine : sign * share;
    return from.map((value, i) => a * value + b * to[i]);
  }

  function matrix([x, y, z, w]) {
    return [
      1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
      2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
      2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
    ];
  }

  function product(a, b) {
    const out = new Float64Array(12);
    for (let i = 0; i < 3; i++) for (let j = 0; j < 4; j++)
      out[4 * i + j] = a[4 * i] * b[j] + a[4 * i + 1] * b[4 + j] + a[4 * i + 2] * b[8 + j] + (j === 3 ? a[4 * i + 3] : 0);
    return out;
  }

  function inverse(a) {
    const c = (i, j) => { // cofactors of the 3 x 3 part
      const [p, q, r, s] = [(i + 1) % 3, (i + 2) % 3, (j + 1) % 3, (j + 2) % 3];
      return a[4 * p + r] * a[4 * q + s] - a[4 * p + s] * a[4 * q + r];
    };
    const scale = 1 / (a[0] * c(0, 0) + a[1] * c(0, 1) + a[2] * c(0, 2)), out = new Float64Array(12);
    for (let i = 0; i < 3; i++) {
      for (let j = 0; j < 3; j++) out[4 * i + j] = c(j, i) * scale;
      out[4 * i + 3] = -(out[4 * i] * a[3] + out[4 * i + 1] * a[7] + out[4 * i + 2] * a[11]);
    }
    return out;
  }

  // Per joint the map from the rest pose to a share of the way from the star pose to another.
  function transforms(skeleton, pose, share) {
    const { parents, joints, star } = skeleton, world = [], found = [];
    for (let j = 0; j < parents.length; j++) {
      const turn = matrix(between(quaternion(star, j), quaternion(pose, j), share)), p = parents[j];
      const place = [0, 1, 2].map((k) => joints[3 * j + k] - (p < 0 ? 0 : joints[3 * p + k]));
      const local = Float64Array.from([0, 1, 2].flatMap((k) => [...turn.slice(3 * k, 3 * k + 3), place[k]]));
      world.push(p < 0 ? local : product(world[p], local));
      const back = Float64Array.from([1, 0, 0, -joints[3 * j], 0, 1, 0, -joints[3 * j + 1], 0, 0, 1, -joints[3 * j + 2]]);
      found.push(product(world[j], back));
    }
    return found;
  }

  // Lists of joints and weights from a function that fills in one point's weights of joints 1 to 23.
  function lists(count, others, weigh) {
    const first = new Uint32Array(count + 1), joint = [], weight = [], own = new Float64Array(others);
    for (let point = 0; point < count; point++) {
      weigh(point, own);
      let rest = 1;
      for (let j = 0; j < others; j++) if (own[j] > 0) { joint.push(j + 1); weight.push(own[j]); rest -= own[j]; }
      if (rest !== 0) { joint.push(0); weight.push(rest); }
      first[point + 1] = joint.length;
    }
    return { first, joint: Uint8Array.from(joint), weight: Float32Array.from(weight) };
  }

  function ofVertices(bytes, others) {
    const count = bytes.length / others;
    return lists(count, others, (point, own) => { for (let j = 0; j < others; j++) own[j] = bytes[j * count + point] / 255; });
  }

  // Weights of places in space, linear between the voxel centres of the skinning field.
  function ofPlaces(places, field, others) {
    const n = field.resolution, size = field.side / n, top = n - 1, low = [0, 0, 0], part = [0, 0, 0];
    const corner = new Uint32Array(8), share = new Float64Array(8), bytes = field.bytes, volume = n * n * n;
    return lists(places.length / 3, others, (point, own) => {
      for (let k = 0; k < 3; k++) {
        const at = Math.min(Math.max((places[3 * point + k] + field.side / 2) / size - 0.5, 0), top);
        low[k] = Math.min(Math.floor(at), top - 1);
        part[k] = at - low[k];
      }
      for (let c = 0; c < 8; c++) {
        const i = (c >> 2) & 1, j = (c >> 1) & 1, k = c & 1;
        corner[c] = ((low[0] + i) * n + low[1] + j) * n + low[2] + k;
        share[c] = (i ? part[0] : 1 - part[0]) * (j ? part[1] : 1 - part[1]) * (k ? part[2] : 1 - part[2]) / 255;
      }
      for (let j = 0; j < others; j++) {
        let sum = 0;
        for (let c = 0; c < 8; c++) sum += share[c] * bytes[j * volume + corner[c]];
        own[j] = sum;
      }
    });
  }

  // Points moved by the blends of their joints' transforms, or back if `undo`.
  function move(points, { first, joint, weight }, maps, out, undo = false) {
    const blend = new Float64Array(12);
    for (let point = 0; point + 1 < first.length; point++) {
      blend.fill(0);
      for (let at = first[point]; at < first[point + 1]; at++) {
        const map = maps[joint[at]], w = weight[at];
        for (let k = 0; k < 12; k++) blend[k] += w * map[k];
      }
      const m = undo ? inverse(blend) : blend, x = points[3 * point], y = points[3 * point + 1], z = points[3 * point + 2];
      for (let k = 0; k < 3; k++) out[3 * point + k] = m[4 * k] * x + m[4 * k + 1] * y + m[4 * k + 2] * z + m[4 * k + 3];
    }
    return out;
  }

  // What moves a page's body and surfaces: `body(points)` and `surface(points)` prepare points of the star
  // pose, `move` poses what was prepared.
  async function open(motion) {
    const others = motion.parents.length - 1;
    const field = { ...motion.field, bytes: await VOLUMES.unpack(motion.field) };
    const ofBody = ofVertices(await VOLUMES.unpack(motion.weights), others);
    const star = transforms(motion, motion.star, 0), back = star.map(inverse);
    return {
      body(points) {
        const rest = move(points, ofBody, star, new Float32Array(points.length), true);
        return { points: rest, weights: ofBody, fromRest: true };
      },
      surface(points) {
        return { points, weights: ofPlaces(points, field, others), fromRest: false };
      },
      move(prepared, pose, share, out) {
        const maps = transforms(motion, pose, share);
        move(prepared.points, prepared.weights, prepared.fromRest ? maps : maps.map((map, j) => product(map, back[j])), out);
      },
    };
  }

  return { open };
})();
