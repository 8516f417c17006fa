"""glTF files written value by value, so that tests can say what no exporter at hand writes."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Glb"]

_COMPONENTS = {"int8": 5120, "uint8": 5121, "int16": 5122, "uint16": 5123, "uint32": 5125, "float32": 5126}
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


class Glb:
    """A .glb in the making; `header` may be changed at will."""

    def __init__(self) -> None:
        self.binary = b""
        self.header: dict[str, Any] = {
            "asset": {"version": "2.0"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0}],
            "meshes": [],
            "accessors": [],
            "bufferViews": [],
        }

    def view(self, content: bytes) -> int:
        self.header["bufferViews"].append({"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(content)})
        self.binary += content + b"\0" * (-len(content) % 4)
        return len(self.header["bufferViews"]) - 1

    def add(self, values: Any, dtype: str = "float32", **changes: Any) -> int:
        """An accessor of rows of numbers."""
        array = np.asarray(values, dtype)
        width = 1 if array.ndim == 1 else array.shape[1]
        accessor = {"componentType": _COMPONENTS[dtype], "count": len(array), "type": _TYPES[width]}
        self.header["accessors"].append({**accessor, "bufferView": self.view(array.tobytes()), **changes})
        return len(self.header["accessors"]) - 1

    def mesh(self, *primitives: dict[str, Any], **changes: Any) -> int:
        self.header["meshes"].append({"primitives": list(primitives), **changes})
        return len(self.header["meshes"]) - 1

    def bytes(self) -> bytes:
        header = {**self.header, "buffers": [{"byteLength": len(self.binary)}]}
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text
        chunks += struct.pack("<I4s", len(self.binary), b"BIN\0") + self.binary
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks

    def save(self, path: Path) -> Path:
        path.write_bytes(self.bytes())
        return path
