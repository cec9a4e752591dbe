"""What all parts of ./tern share: the places in the tree, the names of things, how to fail."""

import contextlib
import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"

ARCHES = ("x86_64", "aarch64", "riscv64")
DEBIAN_ARCH = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}

# Exit statuses of ./tern itself; a program run in the guest has its own.
STATUS_FAILED = 1
STATUS_USAGE = 2
STATUS_TIMEOUT = 124
STATUS_PANIC = 125


class Failure(Exception):
    """Ends the command with one line on stderr and a status."""

    def __init__(self, message, status=STATUS_FAILED):
        super().__init__(message)
        self.status = status


class Usage(Failure):
    """The call itself was wrong."""

    def __init__(self, message):
        super().__init__(message, STATUS_USAGE)


def say(message):
    """A line to the person at the terminal. stdout belongs to results and to guest programs."""
    print(f"tern: {message}", file=sys.stderr, flush=True)


def run_quietly(command, what, **options):
    """Runs a command whose output matters only when it fails."""
    result = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", **options)
    if result.returncode != 0:
        sys.stderr.write(result.stdout)
        raise Failure(f"{what} failed (status {result.returncode})")
    return result.stdout


def relative(path):
    """A path as people want to read it: relative to where they stand, if it is below."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return str(path)


@contextlib.contextmanager
def locked(name):
    """Several ./tern at once are normal (tests): whoever changes build/ holds a lock by name."""
    BUILD.mkdir(exist_ok=True)
    with open(BUILD / f".{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def replacing(folder):
    """A folder that appears under its name only when it is complete: yields a temporary one."""
    temporary = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
