"""Builds ordinary Linux programs for the guest, in flavours that differ in much:

    glibc  the distribution's cross gcc, static, at a fixed address
    musl   clang and lld with musl from a private download, static and position-independent
    fixed  the same at a fixed address, for who watches it from outside
    shared the distribution's cross gcc with its shared libc, which libraries() names

What was built is kept until a source, a header beside it, or these rules change.
"""

import subprocess
from pathlib import Path

from tern import packages, setup
from tern.common import BUILD, ROOT, Failure, locked

FLAVOURS = ("glibc", "musl")
GCC = {"x86_64": "gcc", "aarch64": "aarch64-linux-gnu-gcc", "riscv64": "riscv64-linux-gnu-gcc"}
LOADER = {"x86_64": "ld-linux-x86-64.so.2", "aarch64": "ld-linux-aarch64.so.1",
          "riscv64": "ld-linux-riscv64-lp64d.so.1"}
LIBRARIES = "/t/lib"  # in the guest
OWN_HEADERS = ROOT / "user/include"  # <tern/tern.h>
FLAGS = ["-std=gnu2x", "-O2", "-g0", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter",
         "-I", OWN_HEADERS]


def program(arch, flavour, sources, name=None):
    """The path of the program made of `sources`; a single one names it."""
    sources = [Path(source) for source in sources]
    target = BUILD / "programs" / arch / flavour / (name or sources[0].stem)
    inputs = [*sources, *(header for source in sources for header in source.parent.glob("*.h")),
              *OWN_HEADERS.rglob("*.h"), Path(__file__)]
    if newest(inputs) > changed(target):
        setup.require("build", f"programs-{arch}")
        with locked(f"programs-{arch}-{flavour}-{target.name}"):
            if newest(inputs) > changed(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                if flavour in ("glibc", "shared"):
                    glibc(arch, sources, target, flavour == "shared")
                else:
                    musl(arch, sources, target, flavour == "fixed")
    return target


def newest(paths):
    return max(path.stat().st_mtime for path in paths)


def changed(path):
    return path.stat().st_mtime if path.exists() else 0


def compile_and_link(target, *commands):
    for command in commands:
        result = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if result.returncode != 0:
            target.unlink(missing_ok=True)
            raise Failure(f"{target.name}: {' '.join(map(str, command[:2]))}...\n{result.stdout}")


def glibc(arch, sources, target, shared=False):
    # The old kind of path also serves what libc itself opens.
    where = [f"-Wl,--dynamic-linker={LIBRARIES}/{LOADER[arch]}",
             f"-Wl,--disable-new-dtags,-rpath,{LIBRARIES}"]
    compile_and_link(target, [GCC[arch], *FLAGS, *(where if shared else ["-static"]), "-pthread",
                              *sources, "-o", target])


def libraries(arch):
    """The files that shared programs need in LIBRARIES: the loader, libc, and for pthread_exit libgcc."""
    setup.require("build", f"programs-{arch}")
    for name in (LOADER[arch], "libc.so.6", "libgcc_s.so.1"):
        found = subprocess.run([GCC[arch], f"-print-file-name={name}"], check=True,
                               stdout=subprocess.PIPE, text=True).stdout.strip()
        yield Path(found).resolve(), name


def musl(arch, sources, target, fixed=False):
    kit = packages.musl(arch)
    flags = ["clang-19", f"--target={kit.triple}", "-nostdlibinc", "-isystem", kit.include, *FLAGS,
             "-fpie"]
    if arch == "riscv64":
        flags += ["-march=rv64gc", "-mabi=lp64d"]
    objects = [target.with_name(f"{target.name}-{source.stem}.o") for source in sources]
    compile_and_link(
        target, *([*flags, "-c", source, "-o", object] for source, object in zip(sources, objects)),
        ["ld.lld-19", "-static",
         *([] if fixed else ["-pie", "--no-dynamic-linker", "-z", "text"]),
         kit.library / ("crt1.o" if fixed else "rcrt1.o"), kit.library / "crti.o", *objects, kit.library / "libc.a",
         kit.builtins, kit.library / "crtn.o", "-o", target])
