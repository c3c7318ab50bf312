"""Environments of Python for the tools that judge the collection, kept beside ours until `make clean`.

They are apart from ours because their requirements are not ours, and because some hold another ansible-core.
"""

from __future__ import annotations

import ast
import configparser
import fcntl
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
KEPT = Path(sys.prefix).resolve() / "collection"
NEWEST_HERE = "2.19"  # the newest for Python 3.11
RELEASES = {  # of ansible-core, as in setup.cfg -> Pythons of its controller, the preferred first
    "2.17": ("3.11", "3.12", "3.10"),
    "2.18": ("3.11", "3.12", "3.13"),
    NEWEST_HERE: ("3.11", "3.12", "3.13"),
    "2.20": ("3.12", "3.13", "3.14"),
    "2.21": ("3.12", "3.13", "3.14"),
}
OLDEST, NEWEST = min(RELEASES), max(RELEASES)
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
GET_PIP = """import subprocess, sys
pip = [{python!r}, "-m", "pip", "--python", sys.executable, "install", "--quiet"]
wanted = [word for word in sys.argv[1:] if not word.startswith("--no-")]
sys.exit(subprocess.call([*pip, *wanted]))
"""


def tools() -> Path:
    """The directory of the programs that the extra `collection` in setup.cfg brings."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = setup["options.extras_require"]["collection"].split("\n")
    return environment("tools", [line for line in wanted if line], sys.executable)


def core(release: str, python: str = sys.executable) -> Path:
    """The directory of the programs of that release of ansible-core, as `ansible-test`."""
    return environment(f"core-{release}", [f"ansible-core=={release}.*"], python)


def beside(release: str) -> Path:
    """As `core`, with all that is installed here beside it, so that our tests run with that release."""
    programs = environment(f"beside-{release}", [f"ansible-core=={release}.*"], sys.executable)
    packages = next(programs.parent.glob("lib/python*/site-packages"))
    (packages / "ours.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return programs


def environment(name: str, wanted: list[str], python: str) -> Path:
    """The directory of programs of a virtual environment that holds what is wanted; made when it does not.

    It is made anew when it was moved, too: its programs name where they lie.

    Raises:
        subprocess.CalledProcessError: it cannot be installed; pip has said why.
    """
    place = KEPT / name
    mark = place / "wanted"
    said = "\n".join([str(place), str(Path(python).resolve()), *wanted])
    with alone(name):
        if not mark.exists() or mark.read_text() != said:
            shutil.rmtree(place, ignore_errors=True)
            subprocess.run([python, "-m", "venv", place], check=True)
            pip = [place / "bin/python", "-m", "pip", "--disable-pip-version-check", "--quiet"]
            subprocess.run([*pip, "install", *wanted], check=True)
            mark.write_text(said)
    return place / "bin"


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Whoever else wants the same waits until we have it."""
    KEPT.mkdir(exist_ok=True)
    with (KEPT / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def controller(release: str) -> str | None:
    """The Python for the controller of that release: ours where it can be; None: none is here."""
    return sys.executable if HERE in RELEASES[release] else interpreter(*RELEASES[release])


def interpreter(*versions: str) -> str | None:
    """The first Python of these versions, from PATH or from pyenv."""
    for version in versions:
        for python in (
            shutil.which(f"python{version}"),
            *map(str, Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python{version}")),
        ):
            if python and not subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode:
                return python
    return None


def home(programs: Path) -> Path:
    """A home directory for ansible-test, where it keeps its own environments; it knows pip as we do.

    It fetches pip from a server of its own, which a machine that has only a package index does not reach; it
    takes the script that it finds here instead, which asks our pip.
    """
    place = KEPT / "home"
    known = configparser.ConfigParser(interpolation=None)
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    for line in listed.stdout.splitlines():
        key, value = line.split("=", 1)
        section, option = key.rsplit(".", 1)
        section = "global" if section == ":env:" else section
        if not known.has_section(section):
            known.add_section(section)
        known[section][option] = ast.literal_eval(value)
    (place / ".config/pip").mkdir(parents=True, exist_ok=True)
    with (place / ".config/pip/pip.conf").open("w") as file:
        known.write(file)
    requirements = next(
        (programs.parent / "lib").glob("python*/site-packages/ansible_test/_internal/python_requirements.py")
    )
    versions = re.findall(r"pip='([\d.]+)'", requirements.read_text())
    cache = place / ".ansible/test/cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in versions:
        script = cache / f"get_pip_{version.replace('.', '_')}.py"
        script.write_text(GET_PIP.format(python=sys.executable))
    return place
