"""CPU ray casting of triangle meshes: no GL, no display, no GPU."""
