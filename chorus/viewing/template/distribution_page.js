"use strict";
// The viewer of one page of distributions. Texts reach the page through textContent only; nothing is fetched.
(() => {
  const root = document.documentElement;
  const data = JSON.parse(document.getElementById("data").textContent);
  const by = (id) => document.getElementById(id);
  const STYLE = data.style;
  const state = { cluster: 0, threshold: null, body: true, core: false, dark: false };

  function fail(message) {
    root.dataset.state = "error";
    root.dataset.error = message;
    const note = by("note");
    note.textContent = message;
    note.hidden = false;
  }
  window.addEventListener("error", (event) => fail(`The viewer stopped: ${event.message}`));
  window.addEventListener("unhandledrejection", (event) => fail(`The viewer stopped: ${event.reason}`));

  // ---- volumes -------------------------------------------------------------------------------

  function bytes(text) {
    const raw = atob(text);
    const out = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
    return out;
  }

  async function unpack(packed) {
    const raw = bytes(packed.bytes);
    if (packed.packing === "raw") return raw;
    if (typeof DecompressionStream === "undefined")
      throw new Error("this browser is too old to unpack the data; one from 2023 or later can");
    const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  // Probabilities at twice the resolution (cubic B-spline), with one ring of zeros around.
  function refine(values, shape) {
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
        const lower = s < 2 ? STYLE.cubic[s + 2] : 0, upper = s > -2 ? STYLE.cubic[2 - s] : 0;
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

  const volumes = new Map();
  async function volume(index) {
    if (!volumes.has(index)) {
      const cluster = data.clusters[index], packed = cluster.volume;
      const stored = await unpack(packed);
      const margin = 2, shape = packed.shape.map((n) => n + 2 * margin);
      const values = new Float32Array(shape[0] * shape[1] * shape[2]);
      const [, b, c] = packed.shape;
      for (let i = 0; i < packed.shape[0]; i++) for (let j = 0; j < b; j++) for (let k = 0; k < c; k++)
        values[((i + margin) * shape[1] + j + margin) * shape[2] + k + margin] =
          (stored[(i * b + j) * c + k] / 255) * packed.top;
      const fine = refine(values, shape);
      const size = packed.voxel / 2;
      // centre of the ringed grid's first cell, metres
      fine.origin = packed.start.map((s) => s - margin * packed.voxel - 0.5 * size);
      fine.size = size;
      fine.peak = fine.values.reduce((top, value) => Math.max(top, value), 0);
      cellRanges(fine);
      if (volumes.size >= 8) volumes.delete(volumes.keys().next().value);
      volumes.set(index, fine);
    }
    return volumes.get(index);
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

  // ---- drawing -----------------------------------------------------------------------------------

  const canvas = by("view");
  let renderer;
  try {
    renderer = new THREE.WebGLRenderer({ canvas, antialias: true, preserveDrawingBuffer: true });
  } catch (fault) {
    fail("This browser draws no 3D here (WebGL 2 is off or missing); the pictures below still show the distributions.");
  }

  const LIGHT = `
    vec3 unit(vec3 a) { return normalize(a); }
    const vec3 KEY = vec3(${STYLE.key.map((x) => x.toFixed(4))});
    const vec3 FILL = vec3(${STYLE.fill.map((x) => x.toFixed(4))});`;
  const bodyMaterial = () => new THREE.ShaderMaterial({
    vertexShader: `attribute float openness; varying vec3 vNormal; varying float vSky; varying float vOpen;
      void main() { vNormal = normalMatrix * normal; vSky = 0.5 + 0.5 * normal.y; vOpen = pow(openness, 0.85);
        gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0); }`,
    fragmentShader: `${LIGHT} varying vec3 vNormal; varying float vSky; varying float vOpen;
      void main() { vec3 n = normalize(vNormal);
        float key = max(dot(n, unit(KEY)), 0.0), fill = max(dot(n, unit(FILL)), 0.0);
        float light = vOpen * (0.34 + 0.20 * vSky + 0.22 * fill) + 0.42 * key * (0.55 + 0.45 * vOpen);
        gl_FragColor = vec4(clamp(light * vec3(${STYLE.bodyColour.map((x) => x.toFixed(4))}), 0.0, 1.0), 1.0); }`,
  });
  const shellMaterial = (colour, opacity, depthOnly) => new THREE.ShaderMaterial({
    uniforms: { colour: { value: new THREE.Vector3(...colour) }, opacity: { value: opacity } },
    transparent: true, depthWrite: depthOnly, colorWrite: !depthOnly,
    vertexShader: `varying vec3 vNormal; varying vec3 vTowards;
      void main() { vec4 place = modelViewMatrix * vec4(position, 1.0); vNormal = normalMatrix * normal; vTowards = -place.xyz;
        gl_Position = projectionMatrix * place; }`,
    fragmentShader: `${LIGHT} uniform vec3 colour; uniform float opacity; varying vec3 vNormal; varying vec3 vTowards;
      void main() { vec3 n = normalize(vNormal), towards = normalize(vTowards);
        float facing = clamp(dot(n, towards), 0.0, 1.0), key = max(dot(n, unit(KEY)), 0.0);
        float shine = pow(max(dot(n, normalize(unit(KEY) + towards)), 0.0), 40.0);
        vec3 rgb = clamp((0.76 + 0.34 * key) * colour + 0.18 * shine, 0.0, 1.0);
        gl_FragColor = vec4(rgb, opacity + (1.0 - opacity) * (0.45 * pow(1.0 - facing, 3.0) + 0.20 * shine)); }`,
  });

  const scene = new THREE.Scene();
  const camera = new THREE.PerspectiveCamera(24, 1, 0.05, 60);
  const table = bytes(data.style.table);
  let bodyMesh = null, shells = [], controls = null, pending = false;

  function colourOf(probability, top) {
    const i = 3 * Math.round(255 * Math.min(Math.max(probability / top, 0), 1));
    return [table[i] / 255, table[i + 1] / 255, table[i + 2] / 255];
  }

  async function makeBody() {
    if (!data.body) return;
    const grid = new Uint16Array((await unpack(data.body.vertices)).buffer);
    const points = new Float32Array(grid.length);
    for (let i = 0; i < grid.length; i++) points[i] = data.body.low[i % 3] + (grid[i] / 65535) * data.body.extent[i % 3];
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(points, 3));
    geometry.setAttribute("openness", new THREE.BufferAttribute(await unpack(data.body.openness), 1, true));
    geometry.setIndex(new THREE.BufferAttribute(new Uint32Array((await unpack(data.body.faces)).buffer), 1));
    geometry.computeVertexNormals();
    bodyMesh = new THREE.Mesh(geometry, bodyMaterial());
    scene.add(bodyMesh);
  }

  function clearShells() {
    for (const mesh of shells) { scene.remove(mesh); mesh.geometry.dispose(); mesh.material.dispose(); }
    shells = [];
  }

  function makeShells(field, low, top) {
    clearShells();
    const steps = state.core ? [0] : STYLE.steps;
    const levels = steps.map((s) => low + s * (field.peak - low));
    let triangles = 0;
    for (let s = levels.length - 1; s >= 0; s--) {
      const mesh = surface(field, levels[s]);
      if (!mesh.faces.length) continue;
      triangles += mesh.faces.length / 3;
      const geometry = new THREE.BufferGeometry();
      geometry.setAttribute("position", new THREE.BufferAttribute(mesh.points, 3));
      geometry.setIndex(new THREE.BufferAttribute(mesh.faces, 1));
      geometry.computeVertexNormals();
      // core first; a depth-only pass before each shell hides the shell's own further folds
      for (const depthOnly of [true, false]) {
        const opacity = state.core ? 0.82 : STYLE.opacity[s];
        const part = new THREE.Mesh(geometry, shellMaterial(colourOf(levels[s], top), opacity, depthOnly));
        part.renderOrder = 2 * (levels.length - s) + (depthOnly ? 0 : 1);
        scene.add(part);
        shells.push(part);
      }
    }
    root.dataset.triangles = String(triangles);
  }

  function resize() {
    if (!renderer) return;
    const box = canvas.parentElement.getBoundingClientRect();
    renderer.setPixelRatio(Math.min(window.devicePixelRatio || 1, 2));
    renderer.setSize(box.width, box.height, false);
    camera.aspect = box.width / Math.max(box.height, 1);
    camera.updateProjectionMatrix();
    redraw();
  }

  function redraw() {
    if (!renderer || pending) return;
    pending = true;
    requestAnimationFrame(() => {
      pending = false;
      if (controls) controls.autoRotate = by("spin").checked;
      const moving = controls && controls.update();
      renderer.setClearColor(state.dark ? 0x14161b : 0xffffff, 1);
      renderer.render(scene, camera);
      if (moving || by("spin").checked) redraw();
    });
  }

  // azimuth 0 at the person's left, 90 in front; elevation above the horizon; degrees
  function look(azimuth, elevation, distance) {
    const a = (azimuth * Math.PI) / 180, e = (elevation * Math.PI) / 180;
    const d = distance || camera.position.distanceTo(controls.target);
    camera.position.set(Math.cos(a) * Math.cos(e), Math.sin(e), Math.sin(a) * Math.cos(e)).multiplyScalar(d).add(controls.target);
    controls.update();
    redraw();
  }

  function bearing() {
    const p = camera.position.clone().sub(controls.target), d = p.length();
    return { azimuth: ((Math.atan2(p.z, p.x) * 180) / Math.PI + 360) % 360, elevation: (Math.asin(p.y / d) * 180) / Math.PI, distance: d };
  }

  // ---- the panel ---------------------------------------------------------------------------------

  function button(text, pressed, act, few) {
    const element = document.createElement("button");
    element.type = "button";
    element.textContent = text;
    element.setAttribute("aria-pressed", String(pressed));
    if (few) { element.classList.add("few"); element.title = "empty"; }
    element.addEventListener("click", act);
    return element;
  }

  // Puts a list's buttons anew; the keyboard stays on the pressed one.
  function fill(id, buttons) {
    const list = by(id), focused = list.contains(document.activeElement);
    list.replaceChildren(...buttons);
    if (focused) list.querySelector("[aria-pressed=true]").focus();
  }

  const group = (c) => `${c.category}\n${c.prompt}`;
  const estimates = [...new Set(data.clusters.map((c) => c.estimate))];

  // Of an estimate, the cluster most like another: of its prompt and part, of its prompt, or the first.
  function counterpart(estimate, cluster) {
    const those = data.clusters.map((c, i) => [c, i]).filter(([c]) => c.estimate === estimate);
    const ofPrompt = those.filter(([c]) => group(c) === group(cluster));
    return (ofPrompt.find(([c]) => c.part === cluster.part) ?? ofPrompt[0] ?? those[0])[1];
  }

  // The chosen threshold at the same share of another cluster's peak.
  function thresholdFor(cluster) {
    const peak = data.clusters[state.cluster].peak;
    return state.threshold === null || !(peak > 0 && cluster.peak > 0) ? null : (state.threshold / peak) * cluster.peak;
  }

  function fillPanel() {
    const current = data.clusters[state.cluster];
    const shown = data.clusters.map((c, i) => [c, i]).filter(([c]) => c.estimate === current.estimate);
    const first = new Map();
    for (const [c, i] of shown) if (!first.has(group(c))) first.set(group(c), i);
    fill("prompts", [...first.entries()].map(([name, i]) => {
      const same = shown.find(([c]) => group(c) === name && c.part === current.part);
      return button(data.clusters[i].title, name === group(current), () => choose(same ? same[1] : i));
    }));
    fill("parts", shown.filter(([c]) => group(c) === group(current))
      .map(([c, i]) => button(c.partLabel, i === state.cluster, () => choose(i), c.peak <= 0)));
    by("estimate").hidden = estimates.length < 2;
    fill("estimates", estimates.map((estimate) => {
      const i = counterpart(estimate, current), other = data.clusters[i];
      return button(estimate, estimate === current.estimate, () => choose(i, thresholdFor(other)), other.peak <= 0);
    }));
    by("heading").textContent = current.title;
    const estimated = estimates.length > 1 && `estimate: ${current.estimate}`;
    by("subheading").textContent = [current.category, current.partLabel, current.samplesLabel, estimated].filter(Boolean).join("  ·  ");
    const rows = [["highest probability", current.peak.toFixed(3)], ...current.facts, ...data.facts];
    if (current.weight !== null && current.weight !== current.samples) rows.unshift(["total weight of these samples", current.weight.toLocaleString("en")]);
    if (current.samples !== null) rows.unshift(["retained samples", current.samples.toLocaleString("en")]);
    by("facts").replaceChildren(...rows.map(([name, value]) => {
      const row = document.createElement("tr"), head = document.createElement("th"), cell = document.createElement("td");
      head.textContent = name; cell.textContent = value;
      row.append(head, cell);
      return row;
    }));
    by("ticks").replaceChildren(...current.ticks.map((value) => {
      const tick = document.createElement("span");
      tick.textContent = String(value);
      tick.style.left = `${(100 * value) / current.top}%`;
      return tick;
    }));
  }

  function paintScale(low, top) {
    const context = by("scale").getContext("2d"), strip = context.createImageData(256, 1);
    for (let i = 0; i < 256; i++) {
      strip.data.set(table.subarray(3 * i, 3 * i + 3), 4 * i);
      strip.data[4 * i + 3] = (i / 255) * top < low ? 56 : 255;
    }
    context.putImageData(strip, 0, 0);
  }

  async function show() {
    const current = data.clusters[state.cluster], turn = state.cluster;
    const field = await volume(state.cluster);
    if (turn !== state.cluster) return;
    const empty = current.peak <= 0;
    const low = state.threshold === null ? Math.max(STYLE.share * field.peak, 1.5 / 255) : state.threshold;
    const slider = by("threshold");
    slider.max = String(current.top);
    slider.value = String(low);
    slider.disabled = empty;
    by("reading").textContent = low.toFixed(3);
    paintScale(low, current.top);
    if (empty) clearShells();
    else makeShells(field, Math.max(low, 1 / 255), current.top);
    if (root.dataset.state !== "error") {
      by("note").textContent = data.emptyNote;
      by("note").hidden = !empty;
    }
    if (bodyMesh) bodyMesh.visible = state.body;
    root.classList.toggle("dark", state.dark);
    root.dataset.cluster = current.id;
    root.dataset.threshold = low.toFixed(3);
    redraw();
  }

  function choose(index, threshold = null) {
    state.cluster = index;
    state.threshold = threshold;
    fillPanel();
    show().then(remember);
  }

  let timer = 0;
  function remember() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const hash = new URLSearchParams({ cluster: data.clusters[state.cluster].id });
      if (state.threshold !== null) hash.set("threshold", state.threshold.toFixed(3));
      if (controls) {
        const b = bearing();
        hash.set("azimuth", b.azimuth.toFixed(1)); hash.set("elevation", b.elevation.toFixed(1)); hash.set("distance", b.distance.toFixed(2));
      }
      for (const [name, usual] of [["body", true], ["core", false], ["dark", false]])
        if (state[name] !== usual) hash.set(name, state[name] ? "1" : "0");
      try { history.replaceState(null, "", `#${hash}`); } catch { /* some browsers forbid it for files */ }
    }, 250);
  }

  function recall() {
    const hash = new URLSearchParams(location.hash.slice(1));
    const number = (name, low, high) => {
      const value = parseFloat(hash.get(name));
      return Number.isFinite(value) ? Math.min(Math.max(value, low), high) : null;
    };
    const wanted = hash.get("cluster");
    let index = data.clusters.findIndex((c) => c.id === wanted);
    if (index < 0 && wanted !== null && /^\d+$/.test(wanted)) index = Math.min(Number(wanted), data.clusters.length - 1);
    state.cluster = Math.max(index, 0);
    state.threshold = number("threshold", 0, 1);
    for (const name of ["body", "core", "dark"]) {
      if (hash.has(name)) state[name] = hash.get(name) === "1";
      by(name).checked = state[name];
    }
    return { azimuth: number("azimuth", -360, 720) ?? 48, elevation: number("elevation", -89, 89) ?? 14, distance: number("distance", 0.5, 30) };
  }

  function gallery() {
    by("gallery").hidden = data.pictures.length === 0;
    by("pictures").replaceChildren(...data.pictures.map((picture) => {
      const figure = document.createElement("figure"), image = document.createElement("img"), caption = document.createElement("figcaption");
      image.src = picture.source;
      image.alt = picture.caption;
      image.loading = "lazy";
      caption.textContent = picture.caption;
      if (picture.wide) figure.className = "wide";
      if (picture.cluster !== null)
        image.addEventListener("click", () => { choose(picture.cluster); window.scrollTo({ top: 0, behavior: "smooth" }); });
      for (const [name, place] of picture.links) {
        const link = document.createElement("a");
        link.href = place;
        link.textContent = name;
        caption.append(link);
      }
      figure.append(image, caption);
      return figure;
    }));
  }

  async function start() {
    by("page-title").textContent = data.title;
    gallery();
    const bearingWanted = recall();
    fillPanel();
    if (!renderer) return;
    controls = new THREE.OrbitControls(camera, canvas);
    controls.enableDamping = true;
    controls.dampingFactor = 0.12;
    controls.autoRotateSpeed = 4;
    controls.minDistance = 0.5;
    controls.maxDistance = 30;
    controls.target.set(...data.centre);
    controls.addEventListener("change", () => { redraw(); remember(); });
    await makeBody();
    resize();
    const slope = Math.tan((camera.fov * Math.PI) / 360);
    const fit = Math.max(data.radius / slope, data.radius / (slope * camera.aspect)) * 1.08;
    look(bearingWanted.azimuth, bearingWanted.elevation, bearingWanted.distance || fit);
    await show();
    by("threshold").addEventListener("input", (event) => {
      state.threshold = Number(event.target.value);
      show().then(remember);
    });
    for (const name of ["body", "core", "dark"])
      by(name).addEventListener("change", (event) => { state[name] = event.target.checked; show().then(remember); });
    by("spin").addEventListener("change", redraw);
    for (const element of document.querySelectorAll("[data-azimuth]"))
      element.addEventListener("click", () => {
        controls.target.set(...data.centre);
        look(Number(element.dataset.azimuth), Number(element.dataset.elevation), fit);
      });
    window.addEventListener("resize", resize);
    window.addEventListener("hashchange", () => {
      const wanted = recall();
      fillPanel();
      look(wanted.azimuth, wanted.elevation, wanted.distance || fit);
      show();
    });
    renderer.render(scene, camera);
    if (root.dataset.state === "loading") root.dataset.state = "ready";
  }
  start();
})();
