"""Create small but valid 3D files: a cube in several formats."""

from __future__ import annotations

import io
import json
import struct
import zipfile

__all__ = ["glb", "mesh_text", "zip_archive"]

_CUBE = [(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]
_FACES = [
    (0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1),
    (2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3),
]  # fmt: skip


def glb(colour: tuple[float, float, float]) -> bytes:
    """Create a binary glTF file with a cube of a colour (red, green, blue from 0 to 1)."""
    points = b"".join(struct.pack("<3f", *point) for point in _CUBE)
    faces = b"".join(struct.pack("<3H", *face) for face in _FACES)
    body = points + faces
    scene = {
        "asset": {"version": "2.0", "generator": "runware.local"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorFactor": [*colour, 1.0]}, "doubleSided": True}],
        "accessors": [
            {
                "bufferView": 0, "componentType": 5126, "count": len(_CUBE), "type": "VEC3",
                "min": [-0.5] * 3, "max": [0.5] * 3,
            },
            {"bufferView": 1, "componentType": 5123, "count": 3 * len(_FACES), "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": len(points)},
            {"buffer": 0, "byteOffset": len(points), "byteLength": len(faces)},
        ],
        "buffers": [{"byteLength": len(body)}],
    }  # fmt: skip
    text = json.dumps(scene, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(body), 0x004E4942) + body
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


def mesh_text(extension: str) -> bytes:
    """Create an `obj`, `ply` or `stl` file with the cube."""
    if extension == "obj":
        lines = [f"v {x} {y} {z}" for x, y, z in _CUBE] + [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in _FACES]
    elif extension == "ply":
        lines = ["ply", "format ascii 1.0", f"element vertex {len(_CUBE)}"]
        lines += [f"property float {axis}" for axis in "xyz"]
        lines += [f"element face {len(_FACES)}", "property list uchar int vertex_indices", "end_header"]
        lines += [f"{x} {y} {z}" for x, y, z in _CUBE] + [f"3 {a} {b} {c}" for a, b, c in _FACES]
    else:
        lines = ["solid cube"]
        for face in _FACES:
            corners = [f"vertex {x} {y} {z}" for x, y, z in (_CUBE[corner] for corner in face)]
            lines += ["facet normal 0 0 0", "outer loop", *corners, "endloop", "endfacet"]
        lines.append("endsolid cube")
    return "\n".join(lines).encode() + b"\n"


def zip_archive(name: str) -> bytes:
    """Create an uncompressed ZIP archive with the cube; USDZ and 3MF files are ZIP archives."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), mesh_text("obj"))
    return buffer.getvalue()
