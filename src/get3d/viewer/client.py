"""What is added to viser's page, which has no options for it: the browser's dark mode, a layout for phones, and files
that are dropped on it."""

import gzip
from functools import cache

__all__ = ["adapted"]

# viser's page is dark if its address says so, and its panel lies over the objects in a narrow window. A file that is
# dropped goes to the first button for files, if there is one.
_HEAD = b"""<head>
<script>
if (matchMedia("(prefers-color-scheme: dark)").matches) {
  const address = new URL(location);
  address.searchParams.set("darkMode", "");
  history.replaceState(null, "", address);
}
addEventListener("dragover", event => event.preventDefault());
addEventListener("drop", event => {
  event.preventDefault();
  const input = document.querySelector("input[type=file]"), [file] = event.dataTransfer.files;
  if (!input || !file) return;
  const one = new DataTransfer();
  one.items.add(file);
  input.files = one.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
});
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
