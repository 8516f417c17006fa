"""Does what deploy/Dockerfile says in a folder, where no container engine is at hand.

The instructions are read from the file. The folder stands for the image's root: a copy of this machine's Python of the
same version, without packages, is the base image; files are copied and packages installed by the same commands. Then
the image's command is run, and an object made, by a user of the same number. What would change this machine's list of
users is left out, and the base image's own files are not tried.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
USER = 1000
BASE = "usr/local"
TINY = ("--resolution", "64", "--texture", "64", "--faces", "500")
OBJECT = ("generate", "chair", "--num", "1", "--out", "objects", *TINY)


def main() -> None:
    """Builds and runs; ends with the status of the first command that fails."""
    with tempfile.TemporaryDirectory(prefix="image-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        command, home = _build(root)
        # Only root can become somebody else; whoever is not runs it as he is.
        others = {"user": USER, "group": USER, "extra_groups": []} if os.getuid() == 0 else {}
        if others:
            os.chown(home, USER, USER)
        environment = {"PATH": f"{root / BASE / 'bin'}:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}
        # Where an image's linker looks by itself.
        environment["LD_LIBRARY_PATH"] = str(root / BASE / "lib")
        for arguments in (command, [command[0], *OBJECT]):
            _say(f"as user {os.getuid() if not others else USER}: {' '.join(arguments)}")
            subprocess.run(arguments, cwd=home, env=environment, check=True, **others)
        made = sorted(path.name for path in (home / "objects").iterdir())
        if not any(name.endswith(".glb") for name in made):
            raise SystemExit(f"no object was made: {made}")


def _build(root: Path) -> tuple[list[str], Path]:
    """Follows the instructions, and gives the image's command and where it begins."""
    place, entry, arguments = root, [], []
    text = (REPOSITORY / "deploy" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        name, _, rest = line.strip().partition(" ")
        _say(line)
        match name:
            case "" | "#":
                pass
            case "FROM":
                _copy_python("python" + rest.removeprefix("python:").removesuffix("-slim"), root / BASE)
            case "WORKDIR":
                place = root / rest.lstrip("/")
                place.mkdir(parents=True, exist_ok=True)
            case "COPY":
                *sources, target = rest.split()
                for source in sources:
                    _copy(REPOSITORY / source, place / target / source if target.endswith("/") else place / target)
            case "RUN" if rest.startswith("useradd "):
                _say("left out: this machine's users are not changed")
            case "RUN":
                environment = os.environ | {"PATH": f"{root / BASE / 'bin'}:{os.environ['PATH']}"}
                subprocess.run(["/bin/sh", "-c", rest], cwd=place, env=environment, check=True)
            case "USER":
                pass
            case "ENTRYPOINT":
                entry = json.loads(rest)
            case "CMD":
                arguments = json.loads(rest)
            case _:
                raise SystemExit(f"deploy/Dockerfile: {name} is not known here; teach .ci/image.py what it does")
    return [str(root / BASE / "bin" / entry[0]), *entry[1:], *arguments], place


def _copy_python(name: str, target: Path) -> None:
    """A Python of its own, which any user may run, with pip and no other package."""
    where = "import sys, sysconfig; print(sys.base_prefix, sys._base_executable, sysconfig.get_path('stdlib'))"
    found = subprocess.run([name, "-c", where], check=True, capture_output=True, text=True)
    prefix, program, library = found.stdout.split()
    (target / "bin").mkdir(parents=True)
    shutil.copy(Path(program).resolve(), target / "bin" / name)
    ignored = shutil.ignore_patterns("__pycache__", "site-packages", "dist-packages", "test", "config-*")
    shutil.copytree(library, target / Path(library).relative_to(prefix), ignore=ignored)
    for shared in Path(prefix, "lib").glob("libpython*.so*"):
        shutil.copy(shared, target / "lib")
    subprocess.run([target / "bin" / name, "-m", "ensurepip", "--default-pip"], check=True, stdout=subprocess.DEVNULL)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
