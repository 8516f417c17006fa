"""Recipes for clusters: they ask for the same three variables; the Slurm script is run with stand-ins for Slurm.

No container engine and no cluster is at hand where tests run. The Dockerfile's steps are done by `.ci/image.py`.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from get3d import cli

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"

STANDINS = {
    "scontrol": 'case "$1" in show) printf "node-a\\nnode-b\\n";; *) echo "$@" >> "$CALLS";; esac',
    "srun": 'shift; exec "$@"',
    "torchrun": """echo "$@" >> "$CALLS"
trap "echo told >> $CALLS; exit 1" TERM
for _ in $(seq $TURNS); do sleep 0.05; done""",
}


@pytest.fixture
def slurm(tmp_path):
    """Starts the script among the stand-ins; training takes that many twentieths of a second."""
    for name, text in STANDINS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    calls = tmp_path / "calls"
    variables = {"DATA": "/data/chair", "RUN": "/runs/my chair", "PRESET": "paper"}
    job = {"SLURM_JOB_NODELIST": "node-[a,b]", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "77"}
    path = f"{tmp_path}:{os.environ['PATH']}"

    def start(turns, **changes):
        environment = {"PATH": path, "CALLS": str(calls), "TURNS": str(turns), **job, **variables, **changes}
        return subprocess.Popen(
            ["/bin/bash", str(DEPLOY / "slurm.sh")], env=environment, stderr=subprocess.PIPE, text=True
        )

    return start, calls


def _end(job):
    """What it complained about."""
    return job.communicate(timeout=60)[1]


@pytest.mark.parametrize("name", ["compose.yaml", "slurm.sh", "kubernetes.yaml"])
def test_every_recipe_has_the_same_three_variables(name):
    text = (DEPLOY / name).read_text()
    said = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    used = set(re.findall(r"\$[{(]?([A-Z_]+)\b", said)) - {"SLURM_JOB_NODELIST", "SLURM_JOB_NUM_NODES", "SLURM_JOB_ID"}
    assert used == {"DATA", "RUN", "PRESET"}
    for start in ("torchrun", "-m", "get3d", "train"):
        assert start in said


def test_the_image_is_slim_and_runs_as_nobody_special():
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    assert any(re.fullmatch(r"FROM python:3\.\d+-slim", line) for line in lines)
    assert [line for line in lines if line.startswith("USER")] == ["USER get3d"]
    for line in lines:
        if line.startswith("COPY"):
            assert all((ROOT / name).exists() for name in line.split()[1:-1])


def test_the_script_holds_no_mistake_that_shells_and_shellcheck_find():
    path = str(DEPLOY / "slurm.sh")
    shellcheck = str(Path(sys.executable).with_name("shellcheck"))
    for command in (("bash", "-n"), (shellcheck, "--severity=warning")):
        found = subprocess.run([*command, path], capture_output=True, text=True, check=False)
        assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def _get3d_reads(arguments, monkeypatch, capsys):
    """Whether the command line is one of get3d's: all that it misses is the dataset."""
    monkeypatch.setattr("sys.argv", ["get3d", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert "/nowhere: no such folder; make a dataset" in capsys.readouterr().err


@pytest.mark.slow
def test_the_compose_file_mounts_what_its_command_names(monkeypatch, capsys):
    (service,) = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"].values()
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).samefile(DEPLOY / "Dockerfile")
    mounts = [re.fullmatch(r"\$\{(\w+):\?.*\}:(/[\w-]+)(:ro)?", volume) for volume in service["volumes"]]
    assert {mount[1]: (mount[2], mount[3]) for mount in mounts} == {
        "DATA": ("/data", ":ro"),
        "RUN": ("/run-folder", None),
    }
    launcher = service["entrypoint"].split()
    assert (launcher[0], launcher[-2:]) == ("torchrun", ["-m", "get3d"])
    command = re.sub(r"\$\{PRESET:\?.*?\}", "paper", service["command"]).replace("/data", "/nowhere")
    _get3d_reads(command.split(), monkeypatch, capsys)


def test_the_kubernetes_manifest_holds_together(monkeypatch, capsys):
    job = yaml.safe_load((DEPLOY / "kubernetes.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "PyTorchJob")
    (worker,) = job["spec"]["pytorchReplicaSpecs"].values()
    elastic = job["spec"]["elasticPolicy"]
    assert elastic["minReplicas"] == elastic["maxReplicas"] == worker["replicas"]
    pod = worker["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    # The operator tells only a container of this name where the others are.
    assert container["name"] == "pytorch"
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    values = {variable["name"]: variable["value"] for variable in container["env"]}
    (root,) = (mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "get3d")
    assert all(values[name].startswith(root + "/") for name in ("DATA", "RUN"))
    values["DATA"] = "/nowhere"
    assert container["command"][:3] == ["torchrun", "-m", "get3d"]
    command = [re.sub(r"\$\((\w+)\)", lambda name: values[name[1]], word) for word in container["command"][3:]]
    _get3d_reads(command, monkeypatch, capsys)


def test_the_slurm_script_starts_the_processes_of_all_nodes(slurm):
    start, calls = slurm
    job = start(1)
    assert _end(job) == ""
    assert job.returncode == 0
    (line,) = calls.read_text().splitlines()
    assert "--nnodes=2 --nproc-per-node=gpu" in line
    assert "--rdzv-endpoint=node-a:29400 --rdzv-id=77" in line
    assert line.endswith("-m get3d train paper --data /data/chair --out /runs/my chair")


def test_a_slurm_job_that_is_told_to_stop_waits_for_the_checkpoint_and_queues_again(slurm):
    start, calls = slurm
    job = start(1000)
    while not calls.exists():
        assert job.poll() is None
        time.sleep(0.01)
    time.sleep(0.5)
    job.send_signal(signal.SIGTERM)
    _end(job)
    assert job.returncode == 0
    assert calls.read_text().splitlines()[1:] == ["told", "requeue 77"]


def test_a_slurm_job_without_its_variables_says_which(slurm):
    start, _ = slurm
    job = start(1, RUN="")
    assert "RUN: folder of the run" in _end(job)
    assert job.returncode != 0
