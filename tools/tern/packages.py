"""Debian packages for the guest: fetched as single files, never installed.

Each architecture has a private apt tree in build/packages/ARCH/apt, so nothing outside build/ is
touched and the machine may be of another architecture. The archive is the one of the machine's own
apt sources, the signatures are checked with Debian's keyring. Every package is unpacked into a
folder of its own, build/packages/ARCH/NAME, which appears only when it is complete.
"""

import os
import re
import subprocess
import time

from tern import setup
from tern.common import BUILD, DEBIAN_ARCH, Failure, locked, replacing, run_quietly, say

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
FALLBACK_ARCHIVE = "http://deb.debian.org/debian/"
# bookworm has no riscv64; trixie alone, because the archive's trixie-updates is often in motion.
SUITE = {"x86_64": "bookworm", "aarch64": "bookworm", "riscv64": "trixie"}
LINUX = {"x86_64": "linux-image-amd64", "aarch64": "linux-image-arm64",
         "riscv64": "linux-image-riscv64"}  # meta-packages
INDEX_LIFETIME = 24 * 3600

APT_CONF = """\
Dir::Etc "{tree}/etc";
Dir::Etc::SourceList "{tree}/etc/sources.list";
Dir::Etc::SourceParts "{tree}/etc/parts";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "{tree}/etc/parts";
Dir::State::Lists "{tree}/lists";
Dir::State::status "{tree}/status";
Dir::Cache "{tree}/cache";
Dir::Log "{tree}/log";
APT::Architecture "{debian}";
APT::Architectures {{ "{debian}"; }};
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
"""


def archive():
    """The Debian archive that this machine uses."""
    result = subprocess.run(
        ["apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI)",
         "Created-By: Packages", "Component: main"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    found = sorted({line for line in result.stdout.split() if line.endswith("/debian/")})
    return found[0] if found else FALLBACK_ARCHIVE


def private_apt(arch):
    """Prepares the private apt tree; returns the environment that makes apt-get use it."""
    tree = BUILD / "packages" / arch / "apt"
    for folder in ("etc/parts", "lists/partial", "cache/archives/partial", "log"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
    (tree / "status").touch()
    (tree / "etc/sources.list").write_text(
        f"deb [signed-by={KEYRING}] {archive()} {SUITE[arch]} main\n")
    configuration = tree / "apt.conf"
    configuration.write_text(APT_CONF.format(tree=tree, debian=DEBIAN_ARCH[arch]))
    return tree, dict(os.environ, APT_CONFIG=str(configuration), LC_ALL="C")


def update(tree, environment):
    run_quietly(["apt-get", "-qq", "update"], "reading the package index", env=environment)
    (tree / "updated").touch()


def index_is_fresh(tree):
    stamp = tree / "updated"
    return stamp.exists() and time.time() - stamp.stat().st_mtime < INDEX_LIFETIME


def download(arch, names, folder):
    """Puts the .deb files of `names` into `folder`."""
    tree, environment = private_apt(arch)
    fresh = index_is_fresh(tree)
    if not fresh:
        update(tree, environment)
    command = ["apt-get", "-qq", "download", *names]
    try:
        run_quietly(command, "downloading", env=environment, cwd=folder)
    except Failure:
        if not fresh:
            raise
        update(tree, environment)  # the archive may have moved on since the index was read
        run_quietly(command, "downloading", env=environment, cwd=folder)


def fetch(arch, *names):
    """The folders with the unpacked packages, fetched if they are not there."""
    base = BUILD / "packages" / arch
    folders = [base / name for name in names]
    if all(folder.is_dir() for folder in folders):
        return folders
    setup.require("packages")
    with locked(f"packages-{arch}"):
        wanted = [name for name in names if not (base / name).is_dir()]
        if wanted:
            say(f"fetching {' '.join(wanted)} for {arch} from Debian {SUITE[arch]}")
            with replacing(base / "debs") as debs:
                download(arch, wanted, debs)
                for name in wanted:
                    deb = next(debs.glob(f"{name}_*.deb"), None)
                    if deb is None:
                        raise Failure(f"apt-get downloaded no {name} for {arch}")
                    with replacing(base / name) as folder:
                        run_quietly(["dpkg-deb", "-x", deb, folder], f"unpacking {deb.name}")
                    deb.unlink()
    return folders


def busybox(arch):
    """The path of the architecture's unmodified static BusyBox."""
    folder, = fetch(arch, "busybox-static")
    for place in ("bin/busybox", "usr/bin/busybox"):
        if (folder / place).is_file():
            return folder / place
    raise Failure(f"busybox-static for {arch} holds no busybox")


def kernel_package(arch):
    """The package with Debian's kernel: the one that the meta-package depends on today."""
    tree, environment = private_apt(arch)
    if not index_is_fresh(tree):
        update(tree, environment)
    said = run_quietly(["apt-cache", "depends", LINUX[arch]], "looking for Linux", env=environment)
    found = re.search(r"Depends: (linux-image-\S+)", said)
    if not found:
        raise Failure(f"Debian {SUITE[arch]} has no {LINUX[arch]} for {arch}")
    return found[1]


def linux(arch):
    """(the bootable image, the name) of Debian's stock Linux kernel; only the image is kept."""
    folder = BUILD / "packages" / arch / "linux"
    if not folder.is_dir():
        setup.require("packages")
        with locked(f"packages-{arch}"):
            if not folder.is_dir():
                unpack_linux(arch, folder)
    image = next(folder.glob("vmlinu*"))
    return image, image.name.partition("-")[2]


def unpack_linux(arch, folder):
    name = kernel_package(arch)
    say(f"fetching {name} for {arch} from Debian {SUITE[arch]} (60 to 110 MB)")
    with replacing(folder) as part:
        download(arch, [name], part)
        deb = next(part.glob("*.deb"))
        run_quietly(["sh", "-c", 'dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" '
                     "--strip-components=2 --wildcards './boot/vmlinu*'", "sh", deb, part],
                    f"unpacking {deb.name}")
        deb.unlink()
        if not any(part.glob("vmlinu*")):
            raise Failure(f"{name} holds no kernel image")


class Musl:
    """The parts of a musl development kit for one architecture."""

    def __init__(self, arch, musl_dev, runtime):
        self.triple = f"{arch}-linux-musl"
        self.include = musl_dev / "usr/include" / self.triple
        self.library = musl_dev / "usr/lib" / self.triple
        self.builtins = next(runtime.rglob(f"libclang_rt.builtins-{arch}.a"))


def musl(arch):
    """musl's headers and libraries, and the compiler's runtime for programs."""
    return Musl(arch, *fetch(arch, "musl-dev", "libclang-rt-19-dev"))
