"""What is added to viser's page, which has no options for it: the browser's dark mode, and a layout for phones."""

import gzip
from functools import cache

__all__ = ["adapted"]

# viser's page is dark if its address says so, and its panel lies over the objects in a narrow window.
_HEAD = b"""<head>
<script>
if (matchMedia("(prefers-color-scheme: dark)").matches) {
  const address = new URL(location);
  address.searchParams.set("darkMode", "");
  history.replaceState(null, "", address);
}
</script>
<style>
:root[data-mantine-color-scheme="dark"] div:has(> canvas) { background: #454d55; }
@media (max-width: 36em) {
  div:has(> .mantine-Paper-root[style*="position: fixed"]) { flex-direction: column; }
  .mantine-Paper-root[style*="position: fixed"] {
    position: relative !important;
    width: 100% !important;
    flex: none !important;
  }
  .mantine-Paper-root[style*="position: fixed"] .mantine-ScrollArea-content > div { width: 100% !important; }
}
</style>
"""


@cache
def adapted(page: bytes, *, gzipped: bool) -> bytes:
    """viser's page with what is added to it.

    Args:
        page: HTML.
        gzipped: whether it is compressed, and the result has to be.
    """
    found = (gzip.decompress(page) if gzipped else page).replace(b"<head>", _HEAD, 1)
    return gzip.compress(found) if gzipped else found
