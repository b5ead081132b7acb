"""Binary glTF 2.0 files (GLB) with normals, materials, skins and animations, for any 3D program.

Written after Khronos' specification; what the writers here make passes `gltf-validator` without
errors, warnings or remarks (tests/viewing/test_gltf_validator.py).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from chorus.viewing.displayed import vertex_normals

_MAGIC, _VERSION = 0x46546C67, 2
_JSON, _BINARY = 0x4E4F534A, 0x004E4942
_VERTICES, _INDICES = 34962, 34963
_COMPONENTS = {"uint8": 5121, "uint32": 5125, "float32": 5126}
_TYPES = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}


class Glb:
    """A GLB file in the making: metres, y up, the person looks along +z."""

    def __init__(self, extras: Mapping[str, Any]) -> None:
        """extras: what the file says of itself, as JSON holds it."""
        self._extras = dict(extras)
        self._binary = bytearray()
        self._lists: dict[str, list[dict[str, Any]]] = {
            name: []
            for name in (
                *("nodes", "meshes", "materials", "skins", "animations"),
                *("accessors", "bufferViews"),
            )
        }
        self._roots: list[int] = []

    def material(self, name: str, rgba: Sequence[float]) -> int:
        """The number of a matt material; translucent if its last number, the opacity, is below 1.

        rgba: linear light, each from 0 to 1.
        """
        matt = {"baseColorFactor": list(rgba), "metallicFactor": 0.0, "roughnessFactor": 0.8}
        return self._add(
            "materials",
            {
                "name": name,
                "pbrMetallicRoughness": matt,
                "alphaMode": "OPAQUE" if rgba[3] == 1 else "BLEND",
            },
        )

    def mesh(
        self,
        name: str,
        vertices: Float[np.ndarray, "V 3"],
        faces: Int[np.ndarray, "F 3"],
        material: int,
        *,
        colours: UInt8[np.ndarray, "V 4"] | None = None,
        influences: tuple[UInt8[np.ndarray, "V 4"], Float[np.ndarray, "V 4"]] | None = None,
    ) -> int:
        """The number of a triangle mesh with area-weighted normals.

        colours: RGBA of the vertices, linear light. influences: numbers of a skin's joints and
        their weights, which sum to one.
        """
        vertices = np.ascontiguousarray(vertices, np.float32)
        attributes = {
            "POSITION": self._accessor(vertices, _VERTICES, bounds=True),
            "NORMAL": self._accessor(vertex_normals(vertices, np.asarray(faces)), _VERTICES),
        }
        if colours is not None:
            attributes["COLOR_0"] = self._accessor(colours, _VERTICES, normalised=True)
        if influences is not None:
            attributes["JOINTS_0"] = self._accessor(influences[0], _VERTICES)
            attributes["WEIGHTS_0"] = self._accessor(
                influences[1].astype(np.float32, copy=False), _VERTICES
            )
        indices = self._accessor(np.asarray(faces).astype(np.uint32).ravel(), _INDICES)
        primitive = {"attributes": attributes, "indices": indices, "material": material}
        return self._add("meshes", {"name": name, "primitives": [primitive]})

    def node(self, name: str, *, parent: int | None = None, **said: Any) -> int:
        """The number of a node below another, or of a root. said: mesh, skin, translation, …"""
        number = self._add("nodes", {"name": name, **said})
        if parent is None:
            self._roots.append(number)
        else:
            self._lists["nodes"][parent].setdefault("children", []).append(number)
        return number

    def skin(
        self, name: str, joints: Sequence[int], inverse_bind: Float[np.ndarray, "J 4 4"]
    ) -> int:
        """The number of a skin. inverse_bind (J, 4, 4): mesh to each joint's own frame."""
        # glTF's matrices are stored by columns
        stored = self._accessor(inverse_bind.swapaxes(1, 2).astype(np.float32))
        return self._add(
            "skins",
            {
                "name": name,
                "joints": list(joints),
                "skeleton": joints[0],
                "inverseBindMatrices": stored,
            },
        )

    def rotations(
        self,
        name: str,
        nodes: Sequence[int],
        seconds: Float[np.ndarray, " K"],
        turns: Float[np.ndarray, "K J 4"],
    ) -> int:
        """The number of an animation of nodes' rotations: unit quaternions x, y, z, w at moments,
        between which they turn evenly."""
        moments = self._accessor(seconds.astype(np.float32), bounds=True)
        samplers = [
            {
                "input": moments,
                "output": self._accessor(turns[:, at].astype(np.float32)),
                "interpolation": "LINEAR",
            }
            for at in range(len(nodes))
        ]
        channels = [
            {"sampler": at, "target": {"node": node, "path": "rotation"}}
            for at, node in enumerate(nodes)
        ]
        return self._add("animations", {"name": name, "samplers": samplers, "channels": channels})

    def content(self) -> bytes:
        """The file."""
        whole = {
            "asset": {"version": "2.0", "generator": "chorus"},
            "scene": 0,
            "scenes": [{"nodes": self._roots, "extras": self._extras}],
            **{name: entries for name, entries in self._lists.items() if entries},
            "buffers": [{"byteLength": len(self._binary)}],
        }
        text = json.dumps(whole, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        size = 12 + 8 + len(text) + 8 + len(self._binary)
        head = struct.pack("<III", _MAGIC, _VERSION, size)
        chunks = (text, _JSON), (bytes(self._binary), _BINARY)
        return head + b"".join(struct.pack("<II", len(c), kind) + c for c, kind in chunks)

    def _add(self, name: str, entry: dict[str, Any]) -> int:
        self._lists[name].append(entry)
        return len(self._lists[name]) - 1

    def _accessor(
        self,
        values: np.ndarray,
        target: int | None = None,
        *,
        bounds: bool = False,
        normalised: bool = False,
    ) -> int:
        """The number of values (N, …) in the binary part. bounds: state their least and largest."""
        stored = values.tobytes()
        view = {"buffer": 0, "byteOffset": len(self._binary), "byteLength": len(stored)}
        self._binary += stored + bytes(-len(stored) % 4)
        entry: dict[str, Any] = {
            "bufferView": self._add("bufferViews", view | ({"target": target} if target else {})),
            "componentType": _COMPONENTS[values.dtype.name],
            "count": len(values),
            "type": _TYPES[values.shape[1:]],
        }
        if bounds:
            each = values.reshape(len(values), -1)
            entry |= {"min": each.min(axis=0).tolist(), "max": each.max(axis=0).tolist()}
        if normalised:
            entry["normalized"] = True
        return self._add("accessors", entry)


def linear_light(srgb: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Linear light of sRGB values, both in [0, 1] (IEC 61966-2-1): what glTF's colours are."""
    srgb = np.asarray(srgb, float)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
