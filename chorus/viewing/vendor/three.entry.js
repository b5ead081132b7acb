export {
  WebGLRenderer, Scene, PerspectiveCamera, Mesh, BufferGeometry, BufferAttribute, ShaderMaterial,
  DataTexture, Vector3, Color, Sphere, GLSL3, FrontSide, BackSide, DoubleSide, RGBAFormat, LinearFilter,
  ClampToEdgeWrapping, LessEqualDepth, EqualDepth, NormalBlending, NoBlending, LinearSRGBColorSpace,
} from "three";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
