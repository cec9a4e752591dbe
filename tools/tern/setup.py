"""Installs what is missing from the distribution's packages.

Every call of ./tern asks for the groups it needs. Whether a package is there is decided by the
command or file it brings, so that a complete machine costs a few stat() calls and no apt.
"""

import os
import shutil
import subprocess
from pathlib import Path

from tern.common import ARCHES, Failure, locked, say

CLANG_RT = "/usr/lib/llvm-19/lib/clang/19/lib/linux"
CROSS_GCC = {
    "aarch64": [("gcc-aarch64-linux-gnu", "aarch64-linux-gnu-gcc"),
                ("libc6-dev-arm64-cross", "/usr/aarch64-linux-gnu/lib/libc.a")],
    "riscv64": [("gcc-riscv64-linux-gnu", "riscv64-linux-gnu-gcc"),
                ("libc6-dev-riscv64-cross", "/usr/riscv64-linux-gnu/lib/libc.a")],
    "x86_64": [("gcc", "gcc"), ("libc6-dev", "/usr/lib/x86_64-linux-gnu/libc.a")],
}

# Group: (package, the command or the file by which we know that it is installed).
GROUPS = {
    "build": [("clang-19", "clang-19"), ("lld-19", "ld.lld-19"), ("llvm-19", "llvm-objcopy-19"),
              ("cmake", "cmake"), ("ninja-build", "ninja")],
    "host": [("libclang-rt-19-dev", f"{CLANG_RT}/libclang_rt.asan-x86_64.a"),
             ("clang-format-19", "clang-format-19"),
             ("libc6-dev", "/usr/include/stdio.h")],
    "grub": [("grub-common", "grub-mkrescue"),
             ("grub-pc-bin", "/usr/lib/grub/i386-pc/multiboot2.mod"),
             ("xorriso", "xorriso"), ("mtools", "mformat")],
    "device-tree": [("device-tree-compiler", "dtc")],
    "gdb": [("gdb-multiarch", "gdb-multiarch")],
    "emulator-x86_64": [("qemu-system-x86", "qemu-system-x86_64")],
    "emulator-aarch64": [("qemu-system-arm", "qemu-system-aarch64")],
    "emulator-riscv64": [("qemu-system-misc", "qemu-system-riscv64"),
                         ("opensbi", "/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin")],
    "packages": [("debian-archive-keyring", "/usr/share/keyrings/debian-archive-keyring.gpg")],
    "programs-x86_64": CROSS_GCC["x86_64"],
    "programs-aarch64": CROSS_GCC["aarch64"] + [("qemu-user-static", "qemu-aarch64-static")],
    "programs-riscv64": CROSS_GCC["riscv64"] + [("qemu-user-static", "qemu-riscv64-static")],
}


def present(probe):
    return Path(probe).exists() if probe.startswith("/") else shutil.which(probe) is not None


def missing(groups):
    return list(dict.fromkeys(package for group in groups for package, probe in GROUPS[group]
                              if not present(probe)))


def as_root(packages):
    """The words before a command that has to run as root."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo"):
        return ["sudo"]
    raise Failure("missing packages, and this is neither root nor is there sudo; as root: "
                  f"apt-get install --no-install-recommends {' '.join(packages)}")


def apt_get(packages, *arguments):
    """Runs apt-get; returns what it said if it failed."""
    command = [*as_root(packages), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq",
               "-o", "DPkg::Lock::Timeout=600", *arguments]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace")
    return result.stdout if result.returncode != 0 else None


def require(*groups):
    """Makes sure that the packages of these groups are installed."""
    if not missing(groups):
        return
    if not shutil.which("apt-get"):
        raise Failure("these Debian packages are missing, and there is no apt-get here: "
                      + " ".join(missing(groups)))
    with locked("setup"):
        packages = missing(groups)  # another ./tern may have been faster
        if not packages:
            return
        say(f"installing {' '.join(packages)}")
        # A source of the machine that we do not need may be broken: what counts is the install.
        update_error = apt_get(packages, "update")
        error = apt_get(packages, "install", "-y", "--no-install-recommends", *packages)
        if error is not None:
            raise Failure(f"apt-get could not install {' '.join(packages)}:\n"
                          f"{update_error or ''}{error}".rstrip())
        left = missing(groups)
        if left:
            raise Failure(f"installed, but still not found: {' '.join(left)}")


def setup_all():
    """`./tern setup`: everything that any call may need, also the guest's packages."""
    from tern import packages
    require(*(group for group in GROUPS if group != "gdb"))
    for arch in ARCHES:
        packages.busybox(arch)
        packages.musl(arch)
