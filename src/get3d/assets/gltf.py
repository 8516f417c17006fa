"""glTF 2.0 files (.gltf and .glb) as a validated document: JSON header, buffers and accessors.

Written from the specification, Khronos glTF 2.0.1, because no existing reader supports all of it. trimesh lacks sparse
accessors, skins, morph targets, strips, fans and all texture coordinates but the first; assimp lacks morph targets,
instancing and visibility, and is C++ in the same process, which a damaged file can crash.
"""

import base64
import binascii
import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from get3d.assets.files import FolderResolver
from get3d.files import InputError

__all__ = ["Document", "integer", "item", "listed", "numbers"]

UNDERSTOOD = (
    *("EXT_mesh_gpu_instancing", "KHR_mesh_quantization", "KHR_node_visibility", "KHR_texture_transform"),
    *("EXT_texture_webp", "MSFT_texture_dds", "KHR_lights_punctual", "KHR_xmp", "KHR_materials_", "FB_ngon_encoding"),
)
"""Prefixes of extensions that are supported, or not needed for shape and base colour."""
_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_VALUES_PER_FACE = 64
"""Most numbers read per allowed face; enough for three vertices with skins and morph targets."""
_JSON, _BIN = 0x4E4F534A, 0x004E4942


class Document:
    """A glTF 2.0 file.

    Attributes:
        header: its JSON.
        resolver: gives the files that it names, and takes notes of what is missing or not supported.
    """

    def __init__(self, path: Path, resolver: FolderResolver, max_faces: int) -> None:
        """Reads the header.

        Args:
            path: the file.
            resolver: for the files that it names.
            max_faces: bounds how many numbers are read.

        Raises:
            InputError: it is no glTF 2.0, or requires an extension that is not supported.
        """
        self.header, self._binary = _opened(path.read_bytes())
        self.resolver = resolver
        self._buffers: dict[int, bytes] = {}
        self._arrays: dict[int, np.ndarray] = {}
        self._max_faces = max_faces
        self._values_left = _VALUES_PER_FACE * max_faces
        _require_version(self.header)
        for name in listed(self.header, "extensionsRequired"):
            if not str(name).startswith(UNDERSTOOD):
                raise InputError(f"it needs the glTF extension {name}, which is not supported; export it without")

    def entry(self, kind: str, number: Any) -> dict[str, Any]:
        """An entry of one of the lists of the header, by index.

        Raises:
            InputError: there is none.
        """
        found = item(listed(self.header, kind), number, kind)
        if not isinstance(found, dict):
            raise InputError(f"its {kind}[{number}] is not an object; export it again")
        return found

    def note_extensions(self, thing: dict[str, Any]) -> dict[str, Any]:
        """The extensions of an entry; unsupported ones are noted."""
        extensions = thing.get("extensions")
        if not isinstance(extensions, dict):
            return {}
        self.resolver.missing += [name for name in extensions if not name.startswith(UNDERSTOOD)]
        return extensions

    def count(self, number: Any) -> int:
        """Number of elements of an accessor."""
        return integer(self.entry("accessors", number), "count")

    def array(self, number: Any) -> np.ndarray:
        """The stored elements of an accessor, [count, width].

        Raises:
            InputError: it names what is not there, or is larger than files of so many faces are.
        """
        accessor = self.entry("accessors", number)
        if number not in self._arrays:
            self._arrays[number] = self._read(accessor)
        return self._arrays[number]

    def rows(self, number: Any, chosen: Int[np.ndarray, " n"] | slice = slice(None)) -> Float[np.ndarray, "n w"]:
        """Some elements of an accessor as numbers; normalized ones are between −1 and 1.

        Raises:
            InputError: as `array`.
        """
        array = self.array(number)[chosen]
        self._spend(array.size)
        if not self.entry("accessors", number).get("normalized") or array.dtype.kind == "f":
            return array.astype(np.float64)
        return np.maximum(array / float(np.iinfo(array.dtype).max), -1)

    def _spend(self, values: int) -> None:
        self._values_left -= values
        if self._values_left < 0:
            raise InputError(f"its lists have more numbers than {self._max_faces} faces can need; simplify it")

    def _read(self, accessor: dict[str, Any]) -> np.ndarray:
        dtype, count = _component(accessor), integer(accessor, "count")
        width = _WIDTHS.get(str(accessor.get("type")))
        if width is None:
            raise InputError(f"it has numbers of the type {accessor.get('type')!r}, which is not supported")
        if count > 3 * self._max_faces:
            raise InputError(
                f"it has a list of {count} numbers, more than {self._max_faces} faces have; "
                "simplify it, or allow more with --max-faces"
            )
        self._spend(count * width)
        if "bufferView" in accessor:
            array = self._strided(accessor["bufferView"], integer(accessor, "byteOffset", 0), count, width, dtype)
        else:
            array = np.zeros((count, width), dtype)
        sparse = accessor.get("sparse")
        if isinstance(sparse, dict):
            changed, where, values = integer(sparse, "count"), _object(sparse, "indices"), _object(sparse, "values")
            places = self._strided(
                where.get("bufferView"), integer(where, "byteOffset", 0), changed, 1, _component(where)
            ).ravel()
            if places.dtype.kind == "f" or (changed and not 0 <= int(places.min()) <= int(places.max()) < count):
                raise InputError("a sparse accessor changes elements that are not there; export it again")
            array = array.copy()
            array[places] = self._strided(
                values.get("bufferView"), integer(values, "byteOffset", 0), changed, width, dtype
            )
        return array

    def _strided(self, number: Any, offset: int, count: int, width: int, dtype: np.dtype) -> np.ndarray:
        view = self.entry("bufferViews", number)
        buffer = self.buffer(view.get("buffer"))
        start, length = integer(view, "byteOffset", 0), integer(view, "byteLength")
        size = width * dtype.itemsize
        stride = integer(view, "byteStride", 0) or size
        if not count:
            return np.zeros((0, width), dtype)
        if offset + stride * (count - 1) + size > length or start + length > len(buffer):
            raise InputError(f"an accessor reads beyond the end of bufferViews[{number}]; the file may be cut short")
        return np.ndarray((count, width), dtype, buffer, start + offset, (stride, dtype.itemsize))

    def view(self, number: Any) -> bytes:
        """The content of a buffer view.

        Raises:
            InputError: it is not there.
        """
        view = self.entry("bufferViews", number)
        start, length = integer(view, "byteOffset", 0), integer(view, "byteLength")
        buffer = self.buffer(view.get("buffer"))
        if start + length > len(buffer):
            raise InputError(f"bufferViews[{number}] reaches beyond its buffer; the file may be cut short")
        return buffer[start : start + length]

    def buffer(self, number: Any) -> bytes:
        """The content of a buffer: the binary chunk, a data URI, or a separate file.

        Raises:
            InputError: it is not there.
        """
        described = self.entry("buffers", number)
        if number not in self._buffers:
            uri = described.get("uri")
            if uri is None and number == 0 and self._binary is not None:
                content = self._binary
            elif isinstance(uri, str):
                try:
                    content = self.file(uri)
                except OSError as error:
                    if self.resolver.refused:
                        raise  # It leads out of the folder, and that is what is said.
                    raise InputError(f"the file {uri[:80]!r} with its vertices is missing; put it there") from error
            else:
                raise InputError(f"its buffers[{number}] has no content; get it again")
            self._buffers[number] = content
        return self._buffers[number]

    def file(self, uri: str) -> bytes:
        """The file of a URI.

        Raises:
            OSError: a file is not there or is refused; the resolver has noted it.
            InputError: a data URI is broken.
        """
        if not uri.startswith("data:"):
            return self.resolver.get(uri)
        try:
            return base64.b64decode(uri.partition(";base64,")[2], validate=True)
        except binascii.Error as error:
            raise InputError(f"a data URI is not base64 ({error}); export it again") from error


def listed(thing: dict[str, Any], key: str) -> list[Any]:
    """A list in JSON, empty where there is none.

    Raises:
        InputError: it is no list.
    """
    found = thing.get(key, [])
    if not isinstance(found, list):
        raise InputError(f"its {key} is not a list; export it again")
    return found


def item(sequence: Sequence[Any], number: Any, what: str) -> Any:
    """An item of a list, by index.

    Raises:
        InputError: there is none.
    """
    if type(number) is not int or not 0 <= number < len(sequence):
        raise InputError(f"it names {what}[{number!r:.40}], but has {len(sequence)}; export it again")
    return sequence[number]


def integer(thing: dict[str, Any], key: str, default: int | None = None) -> int:
    """A count or an offset.

    Raises:
        InputError: it is missing without a default, or no number that counts.
    """
    value = thing.get(key, default)
    if type(value) is not int or not 0 <= value < 2**53:
        raise InputError(f"its {key} is {value!r:.40}, but must be an integer; export it again")
    return value


def numbers(thing: dict[str, Any], key: str, default: Sequence[float | int]) -> np.ndarray:
    """A list of numbers, as long as the default.

    Raises:
        InputError: they are no finite numbers, or others in number.
    """
    value = thing.get(key, default)
    try:
        sound = isinstance(value, (list, tuple)) and all(type(one) in (int, float) for one in value)
        array = np.array(value if sound else [], np.float64)
    except OverflowError:
        array = np.zeros(0)
    if len(array) != len(default) or not np.isfinite(array).all():
        raise InputError(f"its {key} is {value!r:.60}, but must be {len(default)} numbers; export it again")
    return array


def _object(thing: dict[str, Any], key: str) -> dict[str, Any]:
    found = thing.get(key)
    if not isinstance(found, dict):
        raise InputError(f"its {key} is not an object; export it again")
    return found


def _component(thing: dict[str, Any]) -> np.dtype:
    kind = thing.get("componentType")
    if type(kind) is not int or kind not in _COMPONENTS:
        raise InputError(f"it has numbers of the component type {kind!r:.40}, which glTF 2.0 does not have")
    return np.dtype(_COMPONENTS[kind])


def _opened(content: bytes) -> tuple[dict[str, Any], bytes | None]:
    """The JSON header of a file, recognised by content, and the binary chunk of a .glb."""
    text, binary = content, None
    if content[:4] == b"glTF":
        if len(content) < 20:
            raise InputError("it is cut short; get it again")
        version = struct.unpack_from("<I", content, 4)[0]
        if version != 2:
            raise _of_version(version)
        chunks = _chunks(content)
        if not chunks or chunks[0][0] != _JSON:
            raise InputError("it is a GLB file without a header; get it again")
        text = chunks[0][1]
        binary = next((chunk for kind, chunk in chunks[1:] if kind == _BIN), None)
    try:
        header = json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"its header is not JSON ({' '.join(str(error).split())}); get it again") from error
    if not isinstance(header, dict):
        raise InputError("its header is not a glTF header; get it again")
    return header, binary


def _chunks(content: bytes) -> list[tuple[int, bytes]]:
    chunks, place = [], 12
    while place + 8 <= len(content):
        length, kind = struct.unpack_from("<II", content, place)
        place += 8
        if place + length > len(content):
            raise InputError(f"it is cut short: {length} bytes should come at {place} of {len(content)}; get it again")
        chunks.append((kind, content[place : place + length]))
        place += length + -length % 4
    return chunks


def _require_version(header: dict[str, Any]) -> None:
    asset = header.get("asset")
    asset = asset if isinstance(asset, dict) else {}
    version = asset.get("minVersion", asset.get("version"))
    if version is None and isinstance(header.get("meshes"), list):
        return  # It does not say so, but glTF 1.0 has no lists there.
    if not str(version).startswith("2.") or ("minVersion" in asset and str(version) != "2.0"):
        raise _of_version("1.0 or not glTF" if version is None else version)


def _of_version(version: object) -> InputError:
    return InputError(
        f"it is glTF {version!s:.20}, and only 2.0 is read; convert it (gltf-pipeline -i old.gltf -o new.glb), "
        "or export it again"
    )
