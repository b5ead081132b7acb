"use strict";
// The viewer of one page of distributions. Texts reach the page through textContent only; nothing is fetched.
(() => {
  const root = document.documentElement;
  const data = JSON.parse(document.getElementById("data").textContent);
  const by = (id) => document.getElementById(id);
  const USUAL = { body: true, object: true, contact: false, core: false, dark: false };
  const state = { cluster: 0, threshold: null, pose: null, share: 1, ...USUAL };
  const NO_POSES = "There are no poses to show: no retained sample of this page is in the results tree.";
  const motion = data.motion, poses = motion && VOLUMES.unpacks ? motion.poses : [];

  function fail(message) {
    root.dataset.state = "error";
    root.dataset.error = message;
    const note = by("note");
    note.textContent = message;
    note.hidden = false;
  }
  window.addEventListener("error", (event) => fail(`The viewer stopped: ${event.message}`));
  window.addEventListener("unhandledrejection", (event) => fail(`The viewer stopped: ${event.reason}`));

  // ---- drawing -----------------------------------------------------------------------------------

  const canvas = by("view");
  let renderer;
  try {
    renderer = new THREE.WebGLRenderer({ canvas, antialias: true, preserveDrawingBuffer: true });
  } catch (fault) {
    fail("This browser draws no 3D here (WebGL 2 is off or missing); the pictures below still show the distributions.");
  }

  const scene = new THREE.Scene();
  const camera = new THREE.PerspectiveCamera(24, 1, 0.05, 60);
  const solids = SOLIDS(data, state, scene, poses);
  let controls = null, pending = false;

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
    fillTicks("ticks", current.ticks, current.top);
    fillPoses();
    fillContact(current);
  }

  function fillTicks(id, values, top) {
    by(id).replaceChildren(...values.map((value) => {
      const tick = document.createElement("span");
      tick.textContent = String(value);
      tick.style.left = `${(100 * value) / top}%`;
      return tick;
    }));
  }

  function paintScale(low, top) {
    const context = by("scale").getContext("2d"), strip = context.createImageData(256, 1);
    for (let i = 0; i < 256; i++) {
      strip.data.set(solids.table.subarray(3 * i, 3 * i + 3), 4 * i);
      strip.data[4 * i + 3] = (i / 255) * top < low ? 56 : 255;
    }
    context.putImageData(strip, 0, 0);
  }

  async function show() {
    const current = data.clusters[state.cluster], turn = state.cluster;
    const field = await solids.volume(state.cluster);
    if (turn !== state.cluster) return;
    const empty = current.peak <= 0;
    const low = state.threshold === null ? Math.max(data.style.share * field.peak, 1.5 / 255) : state.threshold;
    const slider = by("threshold");
    slider.max = String(current.top);
    slider.value = String(low);
    slider.disabled = empty;
    by("reading").textContent = low.toFixed(3);
    paintScale(low, current.top);
    if (empty || !state.object) solids.clearShells();
    else solids.makeShells(field, Math.max(low, 1 / 255), current.top);
    await solids.paintBody(current);
    if (turn !== state.cluster) return;
    solids.applyPose();
    redraw();
    if (root.dataset.state !== "error") {
      by("note").textContent = data.emptyNote;
      by("note").hidden = !empty;
    }
    solids.showBody(state.body);
    root.classList.toggle("dark", state.dark);
    root.dataset.cluster = current.id;
    root.dataset.threshold = low.toFixed(3);
    redraw();
  }

  // Poses of the cluster's prompt; of a cluster of several prompts the first of each.
  function posesOf(cluster) {
    const all = poses.map((pose, i) => [pose, i]), own = all.filter(([pose]) => pose.prompt === cluster.prompt);
    return own.length ? own : all.filter(([pose], i) => !i || pose.prompt !== poses[i - 1].prompt);
  }

  function fillPoses() {
    const current = data.clusters[state.cluster], offered = posesOf(current), why = solids.fixed(current);
    if (!offered.some(([, i]) => i === state.pose)) state.pose = null;
    by("pose").hidden = !motion;
    by("pose-note").textContent = why || (poses.length ? "" : VOLUMES.unpacks ? NO_POSES : "This browser is too old to pose the body; one from 2023 or later can.");
    by("pose-note").hidden = !by("pose-note").textContent;
    by("moving").hidden = Boolean(why) || !poses.length;
    if (by("moving").hidden) return;
    const star = button("star pose", state.pose === null, () => takePose(null));
    fill("poses", [star, ...offered.map(([pose, i]) => {
      const choice = button(pose.image ? "" : pose.name, i === state.pose, () => takePose(i));
      choice.title = pose.text;
      if (pose.image) {
        const image = document.createElement("img"), name = document.createElement("span");
        image.src = pose.image;
        image.alt = "";
        name.textContent = pose.name;
        choice.className = "pictured";
        choice.append(image, name);
      }
      return choice;
    })]);
    fillShare();
  }

  function fillShare() {
    by("share").disabled = state.pose === null;
    by("share").value = String(state.pose === null ? 0 : state.share);
    by("share-reading").textContent = state.pose === null ? "choose a pose to bend the body" : `${Math.round(100 * state.share)} % of the way from the star pose`;
  }

  function takePose(index) {
    if (state.pose === null) state.share = 1;
    state.pose = index;
    fillPoses();
    solids.applyPose();
    redraw();
    remember();
  }

  // The scale of contacts, where they are shown, or why there are none.
  function fillContact(cluster) {
    by("contact").parentElement.hidden = !cluster.contact || !VOLUMES.unpacks;
    by("contacts").hidden = by("contact").parentElement.hidden || !state.contact;
    if (by("contacts").hidden) return;
    const { fault, top } = cluster.contact, context = by("contact-scale").getContext("2d"), strip = context.createImageData(256, 1);
    by("contact-bar").hidden = Boolean(fault);
    by("contact-note").textContent = fault || "probability that the object is within 2 cm";
    if (fault) return;
    for (let i = 0; i < 256; i++) strip.data.set([...solids.contactTable.subarray(3 * i, 3 * i + 3), 255], 4 * i);
    context.putImageData(strip, 0, 0);
    fillTicks("contact-ticks", [0, top / 2, top].map((value) => Number(value.toFixed(2))), top);
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
      if (state.pose !== null) { hash.set("pose", String(state.pose)); hash.set("share", state.share.toFixed(2)); }
      for (const [name, usual] of Object.entries(USUAL)) if (state[name] !== usual) hash.set(name, state[name] ? "1" : "0");
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
    const pose = number("pose", 0, poses.length - 1);
    state.pose = pose === null || !poses.length ? null : Math.floor(pose);
    state.share = number("share", 0, 1) ?? 1;
    for (const name of Object.keys(USUAL)) {
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
    await solids.open();
    resize();
    const slope = Math.tan((camera.fov * Math.PI) / 360);
    const fit = Math.max(data.radius / slope, data.radius / (slope * camera.aspect)) * 1.08;
    look(bearingWanted.azimuth, bearingWanted.elevation, bearingWanted.distance || fit);
    await show();
    by("threshold").addEventListener("input", (event) => {
      state.threshold = Number(event.target.value);
      show().then(remember);
    });
    for (const name of Object.keys(USUAL))
      by(name).addEventListener("change", (event) => { state[name] = event.target.checked; fillPanel(); show().then(remember); });
    by("share").addEventListener("input", (event) => {
      state.share = Number(event.target.value);
      fillShare();
      solids.applyPose();
    redraw();
      remember();
    });
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
  window.drawn = solids.drawn; // for the console
  start();
})();
