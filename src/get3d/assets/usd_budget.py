"""Checks of a USD package before composition: location of its layers and size of the result."""

from pathlib import Path
from typing import Any

from get3d.assets.files import LIMITS
from get3d.files import InputError

__all__ = ["require_composable", "require_within"]

_ENDLESS = 10**9
"""Counting stops here; thirty prims, each referring twice to the previous one, would reach it."""


def require_composable(path: Path) -> None:
    """Counts the prims that composition would create, from only the layers; USD itself has no limit.

    Args:
        path: the package, absolute and with links followed.

    Raises:
        InputError: it is no USD, is composed of more than `LIMITS.nodes`, or names a layer outside the package.
    """
    from pxr import Sdf, Tf

    try:
        layer = Sdf.Layer.FindOrOpen(str(path))
    except Tf.ErrorException as error:
        raise InputError("USD cannot read it; get or export it again") from error
    if layer is None:
        raise InputError("USD cannot read it; get or export it again")
    count = _Counter(path).layer(layer)
    if count > LIMITS.nodes:
        raise InputError(
            f"its references make {'more than ' if count >= _ENDLESS else ''}{count} prims of it, "
            f"and at most {LIMITS.nodes} are read; export it as plain meshes"
        )


def require_within(path: Path, name: str) -> None:
    """Requires a file to be in the package.

    Raises:
        InputError: it does not.
    """
    inner = name.removeprefix(str(path))
    if not (name.startswith(str(path)) and inner[:1] in ("", "[")):
        raise InputError(f"it names the file {name!r}, which lies outside the package; pack it again")


class _Counter:
    """Counts prims, again for each reference. Variants may be counted twice, so this is an upper bound."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[tuple[str, str], int] = {}

    def layer(self, layer: Any) -> int:
        """Prims of a layer and its sublayers."""
        return self._below((layer.identifier, ""), layer, layer.rootPrims, layer.subLayerPaths)

    def _prim(self, layer: Any, place: Any) -> int:
        """Number of prims in a subtree with its references; 0 if there is none.

        A prim that exists only by composition counts as its parent, which is larger.
        """
        from pxr import Sdf

        found = layer.GetPrimAtPath(place)
        while not found:
            place = Sdf.Path(place).GetParentPath()
            if place.isEmpty or place.IsAbsoluteRootPath():
                return 0
            found = layer.GetPrimAtPath(place)
        parts = [*found.nameChildren]
        for variants in found.variantSets.values():
            parts += [variant.primSpec for variant in variants.variants.values()]
        key = layer.identifier, str(found.path)
        if key not in self._known:
            self._known[key] = 0  # What refers to itself is an error of its own, which USD finds.
            count = 1 + self._arcs(layer, found)
            for part in parts:
                count = min(count + self._prim(layer, part.path), _ENDLESS)
            self._known[key] = count
        return self._known[key]

    def _below(self, key: tuple[str, str], layer: Any, prims: Any, sublayers: Any) -> int:
        if key not in self._known:
            self._known[key] = 0
            count = sum(self._prim(layer, prim.path) for prim in prims)
            for name in sublayers:
                other = self._other(layer, name)
                count += 0 if other is None else self.layer(other)
            self._known[key] = min(count, _ENDLESS)
        return self._known[key]

    def _arcs(self, layer: Any, prim: Any) -> int:
        count = 0
        for arc in (
            *prim.referenceList.GetAddedOrExplicitItems(),
            *prim.payloadList.GetAddedOrExplicitItems(),
        ):
            other = self._other(layer, arc.assetPath) if arc.assetPath else layer
            if other is None:
                continue
            place = arc.primPath or (f"/{other.defaultPrim}" if other.defaultPrim else "")
            count += self._prim(other, place) if place else 0
        for place in (
            *prim.inheritPathList.GetAddedOrExplicitItems(),
            *prim.specializesList.GetAddedOrExplicitItems(),
        ):
            count += self._prim(layer, place)
        return min(count, _ENDLESS)

    def _other(self, layer: Any, name: str) -> Any:
        """Another layer of the package; None if it is missing."""
        from pxr import Ar, Sdf, Tf

        place = Ar.GetResolver().Resolve(Sdf.ComputeAssetPathRelativeToLayer(layer, name)).GetPathString()
        if not place:
            return None
        require_within(self._path, place)
        try:
            return Sdf.Layer.FindOrOpen(place)
        except Tf.ErrorException:
            return None  # USD says so when it composes.
