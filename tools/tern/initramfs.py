"""The root file system of the guest: BusyBox, our program 1, a few files of /etc, and --add.

An archive is kept in build/initramfs under a name made of everything that went into it, so a
second run with the same content only looks at time stamps. The program to run (`-- PROGRAM
ARGS`) is a second small archive behind the first one.
"""

import hashlib
import os
import re
from pathlib import Path

from tern import packages
from tern.common import BUILD, ROOT, Failure, Usage
from tern.cpio import Archive
from tern.elf import Elf

KEEP = 24  # archives in the cache
LONGEST_ARGUMENTS, MOST_ARGUMENTS = 65000, 1000  # what program 1 has room for

ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "hostname": "tern\n",
    "hosts": "127.0.0.1 localhost tern\n",
    "profile": "export PATH=/sbin:/usr/sbin:/bin:/usr/bin\n"
               "export HOME=/root TERM=${TERM:-vt102}\n"
               "export PS1='tern:\\w\\$ '\n",
    "shells": "/bin/sh\n",
}
RELEASE = re.search(r'TERN_RELEASE "([^"]+)"',
                    (ROOT / "core/include/core/version.h").read_text())[1]
MODULES = f"lib/modules/{RELEASE}"
FOLDERS = ("bin", "usr", "dev", "proc", "sys", "run", "root", "etc", "mnt", "var/log", "home",
           MODULES)
# Every program is in /bin; scripts that give another full path find it there too.
PROGRAMS = ("tern-ctl",)  # of our own beside program 1: user/
LINKS = {"sbin": "bin", "usr/bin": "/bin", "usr/sbin": "/bin", "var/run": "/run"}


def applets(image):
    """The names that BusyBox answers to: it holds them as one block of NUL-terminated strings.
    (Asking it would need an emulator for two of the three architectures.)"""
    start = image.find(b"[\0[[\0")
    if start < 0:
        raise Failure("this BusyBox has no list of applets that we can find")
    return image[start:image.index(b"\0\0", start)].decode("ascii").split("\0")


def parse_add(text):
    """HOST[:GUEST] -> (path of the host, path in the guest). As with cp, a link that is named
    stands for what it points to; links inside a folder stay links."""
    host, _, guest = text.partition(":")
    if not host or not Path(host).exists():
        raise Usage(f"--add: there is no {host or 'file'}")
    if guest and not guest.startswith("/"):
        raise Usage(f"--add: the guest path {guest} has to begin with /")
    return Path(host).resolve(), guest or f"/{Path(host).resolve().name}"


def stamps(path):
    """What tells that a file or a folder has changed."""
    for file in [path, *sorted(path.rglob("*"))] if path.is_dir() else [path]:
        status = file.lstat()
        yield f"{file} {status.st_mode} {status.st_size} {status.st_mtime_ns}"


def module_needs(path):
    """The names after depends= in a module's .modinfo."""
    elf = Elf(path.read_bytes())
    info = elf.section(".modinfo")
    lines = elf.data[info.offset:info.offset + info.size].split(b"\0")
    named = next((x[8:].decode() for x in lines if x.startswith(b"depends=")), "")
    return [name for name in named.split(",") if name]


def modules_dep(modules):
    """modules.dep, by which modprobe loads what a module needs: all of it, nearest first."""
    direct = {path.stem: module_needs(path) for path in modules}

    def needed(name):
        found = []
        for need in direct.get(name, []):
            found += [x for x in [need, *needed(need)] if x not in found]
        return found

    return "".join(f"{path.name}: {' '.join(f'{n}.ko' for n in needed(path.stem))}".rstrip() + "\n"
                   for path in modules)


def base(arch, init, additions, busybox, modules):
    """The path of the archive with everything but the program to run."""
    programs = [path for path in map(init.with_name, PROGRAMS) if path.exists()]
    parts = [Path(__file__), init, *programs, busybox, *modules, *(host for host, _ in additions)]
    key = hashlib.sha256("\n".join(
        [arch, *(line for part in parts for line in stamps(part)),
         *(guest for _, guest in additions)]).encode()).hexdigest()[:24]
    folder = BUILD / "initramfs"
    path = folder / f"{arch}-{key}.cpio"
    if path.exists():
        os.utime(path)
        return path
    archive = Archive()
    for name in FOLDERS:
        archive.directory(name)
    archive.directory("tmp", 0o1777)
    for name, target in LINKS.items():
        archive.symlink(name, target)
    for name, content in ETC.items():
        archive.file(f"etc/{name}", content)
    archive.file("init", init.read_bytes(), 0o755)
    image = busybox.read_bytes()
    for applet in applets(image):
        archive.symlink(f"bin/{applet}", "busybox")
    for own in programs:
        archive.file(f"bin/{own.name}", own.read_bytes(), 0o755)
    archive.file("bin/busybox", image, 0o755)  # last: busybox is an applet of its own
    for module in modules:
        archive.file(f"{MODULES}/{module.name}", module.read_bytes())
    archive.file(f"{MODULES}/modules.dep", modules_dep(modules))
    for host, guest in additions:
        archive.copy(host, guest)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_bytes(archive.bytes())
    temporary.rename(path)
    forget_old(folder)
    return path


def forget_old(folder):
    by_age = sorted(folder.glob("*.cpio"), key=lambda p: p.stat().st_mtime, reverse=True)
    for old in by_age[KEEP:]:
        old.unlink(missing_ok=True)


def program(arguments, terminal):
    """The small archive that tells program 1 (user/init.c) what to run instead of a shell."""
    words = b"".join(os.fsencode(argument) + b"\0" for argument in arguments)
    if len(words) > LONGEST_ARGUMENTS or len(arguments) > MOST_ARGUMENTS:
        raise Usage("run: the program's arguments are too long; put them into a file and --add it")
    archive = Archive()
    archive.file("etc/tern-run", words)
    if terminal:
        archive.file("etc/tern-run-tty", b"")
    return archive.bytes()


def make(arch, init, additions=(), arguments=None, terminal=False, target=None):
    """The archive to boot with; `target` is where to put it if a program is given.

    With `terminal` the program gets an ordinary terminal, else a console that changes no byte."""
    modules = sorted((init.parents[1] / "modules").glob("*.ko"))
    archive = base(arch, init, additions, packages.busybox(arch), modules)
    if arguments is None:
        return archive
    target.write_bytes(archive.read_bytes() + program(arguments, terminal))
    return target
