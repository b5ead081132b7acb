"use strict";
// How the body and the shells are shaded: light fixed to the camera, as in chorus/viewing/scene.py.
const MATERIALS = (style) => {
  const LIGHT = `
    vec3 unit(vec3 a) { return normalize(a); }
    const vec3 KEY = vec3(${style.key.map((x) => x.toFixed(4))});
    const vec3 FILL = vec3(${style.fill.map((x) => x.toFixed(4))});`;
  const body = () => new THREE.ShaderMaterial({
    vertexShader: `attribute float openness; attribute vec3 colour; varying vec3 vNormal; varying vec3 vColour; varying float vSky; varying float vOpen;
      void main() { vColour = colour; vNormal = normalMatrix * normal; vSky = 0.5 + 0.5 * normal.y; vOpen = pow(openness, 0.85);
        gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0); }`,
    fragmentShader: `${LIGHT} varying vec3 vNormal; varying vec3 vColour; varying float vSky; varying float vOpen;
      void main() { vec3 n = normalize(vNormal);
        float key = max(dot(n, unit(KEY)), 0.0), fill = max(dot(n, unit(FILL)), 0.0);
        float light = vOpen * (0.34 + 0.20 * vSky + 0.22 * fill) + 0.42 * key * (0.55 + 0.45 * vOpen);
        gl_FragColor = vec4(clamp(light * vColour, 0.0, 1.0), 1.0); }`,
  });
  const shell = (colour, opacity, depthOnly) => new THREE.ShaderMaterial({
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

  return { body, shell };
};
