"""What is looked at before a stranger's file is loaded, and the files it names: nothing outside its folder is read."""

import base64
import io
import json
import struct
import urllib.parse
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image
from trimesh.resolvers import Resolver

from get3d.files import InputError, contained

__all__ = ["FolderResolver", "careful_images", "embedded_images_lost", "require_loadable"]

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TGA", "TIFF", "GIF", "DDS")
"""Read within PIL itself; some of its other formats start programs."""
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tga", ".tif", ".tiff", ".gif", ".dds")
MOST_PIXELS = 8192**2
_BYTES_PER_FACE = 256
"""No format takes more for a face, textures apart."""
_UNDERSTOOD = ("KHR_materials_", "KHR_lights_", "EXT_texture_webp", "KHR_xmp")
"""Extensions of glTF without which an object still has its shape."""


class FolderResolver(Resolver):
    """Gives trimesh the files that a model asks for, of one folder and those below.

    trimesh goes on without a file that it does not get, so what was missing and what was refused is kept here.

    Attributes:
        missing: names of files that are not there, or are images that cannot be read.
        refused: names that lead out of the folder.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        self.missing: list[str] = []
        self.refused: list[str] = []

    def get(self, key: str) -> bytes:
        """The content of a file, named from the model's folder.

        Raises:
            OSError: it is not there, is refused, or is an image that cannot be read.
        """
        name = key.strip().replace("\\", "/")
        try:
            place = self.folder.relative_to(self.root) / name
            found = [contained(self.root, str(place)), contained(self.root, urllib.parse.unquote(str(place)))]
        except (InputError, ValueError) as error:
            self.refused.append(key.strip())
            raise FileNotFoundError(key) from error
        # Models name textures by where they lay on their maker's machine; beside the model is where they are now.
        found.append(self.folder / PurePosixPath(name).name)
        for path in found:
            if path.is_file() and path.resolve().is_relative_to(self.root.resolve()):
                content = path.read_bytes()
                if path.suffix.lower() in _IMAGE_SUFFIXES and not _readable(content):
                    break
                return content
        self.missing.append(key.strip())
        raise FileNotFoundError(key)

    def keys(self) -> list[str]:
        """Names are not listed, only asked for."""
        return []

    def write(self, name: str, data: Any) -> None:
        """Nothing is written."""
        raise PermissionError(name)

    def namespaced(self, namespace: str) -> "FolderResolver":
        """The same: archives within archives are not opened."""
        return self


@contextmanager
def careful_images() -> Iterator[None]:
    """While it lasts, PIL opens no image of more than `MOST_PIXELS`."""
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = MOST_PIXELS
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _readable(content: bytes) -> bool:
    try:
        Image.open(io.BytesIO(content), formats=IMAGE_FORMATS).close()
    except Exception:  # Decoders of damaged images raise whatever they do.
        return False
    return True


def require_loadable(path: Path, max_faces: int) -> None:
    """Refuses a file by its size and its header, before memory is spent on it.

    Raises:
        InputError: it is empty or too large, or its header tells of too many faces or of extensions unknown here.
    """
    size = path.stat().st_size
    if size == 0:
        raise InputError("the file is empty; get it again")
    if size > max_faces * _BYTES_PER_FACE:
        raise InputError(
            f"the file has {size} bytes, more than {max_faces} faces need; simplify it, or allow more with --max-faces"
        )
    if path.suffix.lower() in (".glb", ".gltf"):
        header, _ = _gltf(path)
        needed = [name for name in header.get("extensionsRequired", []) if not name.startswith(_UNDERSTOOD)]
        if needed:
            raise InputError(f"it needs the glTF extension {needed[0]}; export it without compression")
        counts = [int(accessor["count"]) for accessor in header.get("accessors", [])]
        if max(counts, default=0) > 3 * max_faces:
            raise InputError(
                f"it has a list of {max(counts)} numbers, more than {max_faces} faces have; "
                "simplify it, or allow more with --max-faces"
            )


def embedded_images_lost(path: Path) -> list[str]:
    """Names of images within a .glb or .gltf that colour a surface and cannot be read, or not as they are meant."""
    if path.suffix.lower() not in (".glb", ".gltf"):
        return []
    header, binary = _gltf(path)
    textures, images, views = (header.get(name, []) for name in ("textures", "images", "bufferViews"))
    lost = []
    for material in header.get("materials", []):
        texture = material.get("pbrMetallicRoughness", {}).get("baseColorTexture")
        if texture is None:
            continue
        if "KHR_texture_transform" in texture.get("extensions", {}):
            lost.append("KHR_texture_transform")
        described = textures[texture["index"]]
        source = described.get("extensions", {}).get("EXT_texture_webp", described).get("source")
        if source is None:
            lost.append(f"texture {texture['index']}")
            continue
        image = images[source]
        if "bufferView" in image and binary:
            view = views[image["bufferView"]]
            start = view.get("byteOffset", 0)
            content = binary[start : start + view["byteLength"]]
        elif image.get("uri", "").startswith("data:"):
            content = base64.b64decode(image["uri"].partition("base64,")[2])
        else:
            continue
        if not _readable(content):
            lost.append(f"image {source}")
    return lost


def _gltf(path: Path) -> tuple[dict[str, Any], bytes]:
    """The header of a .gltf or .glb, and the content that a .glb carries."""
    content = path.read_bytes()
    binary = b""
    if path.suffix.lower() == ".glb":
        if len(content) < 20 or content[:4] != b"glTF":
            raise InputError("it is no GLB file, or is cut short; get it again")
        length = struct.unpack("<I", content[12:16])[0]
        content, binary = content[20 : 20 + length], content[28 + length :]
    try:
        header = json.loads(content)
    except ValueError as error:
        raise InputError(f"its header is not JSON ({error}); get it again") from error
    if not isinstance(header, dict):
        raise InputError("its header is no glTF header; get it again")
    return header, binary
