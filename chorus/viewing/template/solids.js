"use strict";
// What stands in the scene: the body, posed and coloured, and the shells of the chosen cluster, carried along.
const SOLIDS = (data, state, scene, poses) => {
  const style = data.style, materials = MATERIALS(style);
  const table = VOLUMES.bytes(style.table), contactTable = VOLUMES.bytes(style.contactTable);
  let bodyMesh = null, shells = [];
  let mover = null, moved = []; // what poses points, and what it moves: { geometry, star, prepared }

  const volumes = new Map();
  async function volume(index) {
    if (!volumes.has(index)) {
      const opened = await VOLUMES.open(data.clusters[index].volume, style.cubic);
      if (volumes.size >= 8) volumes.delete(volumes.keys().next().value);
      volumes.set(index, opened);
    }
    return volumes.get(index);
  }

  function colourOf(probability, top) {
    const i = 3 * Math.round(255 * Math.min(Math.max(probability / top, 0), 1));
    return [table[i] / 255, table[i + 1] / 255, table[i + 2] / 255];
  }

  async function open() {
    if (poses.length) mover = await POSING.open(data.motion);
    if (!data.body) return;
    const grid = new Uint16Array((await VOLUMES.unpack(data.body.vertices)).buffer);
    const points = new Float32Array(grid.length);
    for (let i = 0; i < grid.length; i++) points[i] = data.body.low[i % 3] + (grid[i] / 65535) * data.body.extent[i % 3];
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(points, 3));
    geometry.setAttribute("openness", new THREE.BufferAttribute(await VOLUMES.unpack(data.body.openness), 1, true));
    geometry.setIndex(new THREE.BufferAttribute(new Uint32Array((await VOLUMES.unpack(data.body.faces)).buffer), 1));
    geometry.setAttribute("colour", new THREE.BufferAttribute(new Float32Array(points.length), 3));
    geometry.computeVertexNormals();
    bodyMesh = new THREE.Mesh(geometry, materials.body());
    scene.add(bodyMesh);
    moved.push({ geometry, star: points.slice(), ofBody: true });
  }

  // Colours the body by its probability of contact, or as it is.
  async function paintBody(cluster) {
    if (!bodyMesh) return;
    const contact = cluster.contact, colours = bodyMesh.geometry.attributes.colour;
    const shown = state.contact && VOLUMES.unpacks && contact && !fixed(cluster);
    const steps = shown ? await VOLUMES.unpack(contact) : new Uint8Array(colours.count);
    const scale = shown ? 255 / contact.steps : 0;
    for (let i = 0; i < steps.length; i++) for (let k = 0; k < 3; k++) colours.array[3 * i + k] = contactTable[3 * Math.round(scale * steps[i]) + k] / 255;
    colours.needsUpdate = true;
  }

  // Moves the body and the surfaces to the chosen share of the way to the chosen pose.
  function applyPose() {
    const stays = state.pose === null || !mover || fixed(data.clusters[state.cluster]);
    for (const each of moved) {
      const position = each.geometry.attributes.position;
      if (stays) position.array.set(each.star);
      else {
        each.prepared ??= each.ofBody ? mover.body(each.star) : mover.surface(each.star);
        mover.move(each.prepared, poses[state.pose].pose, state.share, position.array);
      }
      position.needsUpdate = true;
      each.geometry.computeVertexNormals();
      each.geometry.computeBoundingSphere();
    }
    document.documentElement.dataset.pose = stays ? "" : poses[state.pose].text;
  }

  // Why a cluster does not move with the body; empty if it does.
  const fixed = (cluster) => (cluster.contact && cluster.contact.fault) || "";

  function clearShells() {
    for (const mesh of shells) { scene.remove(mesh); mesh.geometry.dispose(); mesh.material.dispose(); }
    shells = [];
    moved = moved.filter((each) => each.ofBody);
  }

  function makeShells(field, low, top) {
    clearShells();
    const steps = state.core ? [0] : style.steps;
    const levels = steps.map((s) => low + s * (field.peak - low));
    let triangles = 0;
    for (let s = levels.length - 1; s >= 0; s--) {
      const mesh = VOLUMES.surface(field, levels[s]);
      if (!mesh.faces.length) continue;
      triangles += mesh.faces.length / 3;
      const geometry = new THREE.BufferGeometry();
      geometry.setAttribute("position", new THREE.BufferAttribute(mesh.points, 3));
      geometry.setIndex(new THREE.BufferAttribute(mesh.faces, 1));
      moved.push({ geometry, star: mesh.points.slice(), level: levels[s] });
      // core first; a depth-only pass before each shell hides the shell's own further folds
      for (const depthOnly of [true, false]) {
        const opacity = state.core ? 0.82 : style.opacity[s];
        const part = new THREE.Mesh(geometry, materials.shell(colourOf(levels[s], top), opacity, depthOnly));
        part.renderOrder = 2 * (levels.length - s) + (depthOnly ? 0 : 1);
        scene.add(part);
        shells.push(part);
      }
    }
    document.documentElement.dataset.triangles = String(triangles);
  }

  function showBody(shown) {
    if (bodyMesh) bodyMesh.visible = shown;
  }

  // What is drawn: places in metres, body frame, of the star pose and as posed.
  function drawn() {
    return moved.map(({ geometry, star, level, ofBody }) => ({ ofBody: Boolean(ofBody), level, star, places: geometry.attributes.position.array }));
  }

  return { open, volume, fixed, paintBody, applyPose, clearShells, makeShells, showBody, drawn, table, contactTable };
};
