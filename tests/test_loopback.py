"""Processes that work together on one machine cannot be reached from another."""

import subprocess
import sys
import time

import psutil
import pytest


def _listening(process):
    """The addresses that a process and its descendants listen on, by the number of each."""
    found = {}
    for each in [process, *process.children(recursive=True)]:
        try:
            connections = each.net_connections(kind="inet")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        found[each.pid] = {entry.laddr.ip for entry in connections if entry.status == psutil.CONN_LISTEN}
    return {pid: addresses for pid, addresses in found.items() if addresses}


@pytest.mark.slow
def test_processes_on_one_machine_listen_on_the_loopback_interface_alone(tmp_path):
    command = (sys.executable, "-m", "get3d", "generate", "chair", "--processes=2", "--device=cpu", "--num=500")
    command += ("--geometry-only", "--points=0", f"--out={tmp_path}")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as started:
        try:
            seen, meshes = {}, []
            # Both have done some work, so all that they need to talk to each other is there.
            while len(meshes) < 3:
                assert started.poll() is None, started.stdout.read()
                for pid, addresses in _listening(psutil.Process(started.pid)).items():
                    seen.setdefault(pid, set()).update(addresses)
                meshes = list(tmp_path.glob("*.glb"))
                time.sleep(0.05)
        finally:
            started.terminate()
    # The first has the store, and each listens for the other.
    assert len(seen) >= 2
    assert set().union(*seen.values()) == {"127.0.0.1"}
