"""Kept memory is not taken from the system again."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from get3d.devices import keep_memory
if sys.argv[1] == "kept":
    keep_memory()
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(30):
    torch.ones(50_000_000)
before = faults()
for _ in range(4):
    torch.ones(50_000_000)
print(faults() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_memory_that_is_kept_is_not_taken_from_the_system_again():
    """200 MB are 48,828 pages of 4 KiB, or 95 of 2 MiB where the system makes those of itself.

    A block that something small has come to lie in may be too small for the next tensor: the first ones do not count.
    """
    taken, kept = (
        int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True).stdout)
        for how in ("not", "kept")
    )
    assert taken >= 4 * 95
    assert kept < taken / 10
