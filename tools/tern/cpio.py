"""Writes initramfs archives in the "newc" cpio format (magic 070701).

Each entry is a header of 13 fields of eight hexadecimal digits, the name with its NUL, and the
data, both padded to four bytes; an entry named TRAILER!!! ends an archive. Archives may follow
one another: each is padded to 512 bytes.
"""

import os
import stat
from pathlib import Path


class Archive:
    """Collects entries by path; a later entry replaces an earlier one of the same name."""

    def __init__(self):
        self.entries = {}

    def add(self, path, mode, data=b"", device=(0, 0)):
        path = self.resolve(path)
        if path:
            self.entries[path] = (mode, data, device)

    def resolve(self, path):
        """The path with links to folders on the way followed and the folders made."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        here = ""
        for part in parts[:-1]:
            below = f"{here}/{part}".strip("/")
            mode, data, _ = self.entries.setdefault(below, (stat.S_IFDIR | 0o755, b"", (0, 0)))
            if stat.S_ISLNK(mode):
                target = data.decode()
                below = target if target.startswith("/") else f"{here}/{target}"
            here = below.strip("/")
        return f"{here}/{parts[-1]}".strip("/") if parts else ""

    def directory(self, path, mode=0o755):
        self.add(path, stat.S_IFDIR | mode)

    def file(self, path, data, mode=0o644):
        self.add(path, stat.S_IFREG | mode, data if isinstance(data, bytes) else data.encode())

    def symlink(self, path, target):
        self.add(path, stat.S_IFLNK | 0o777, target.encode())

    def copy(self, host, guest):
        """A file or a whole folder of the host; the owner becomes root."""
        host = Path(host)
        status = host.lstat() if guest.strip("/") else host.stat()
        permissions = stat.S_IMODE(status.st_mode)
        if stat.S_ISLNK(status.st_mode):
            self.symlink(guest, os.readlink(host))
        elif stat.S_ISDIR(status.st_mode):
            self.directory(guest, permissions)
            for child in sorted(host.iterdir()):
                self.copy(child, f"{guest.rstrip('/')}/{child.name}")
        elif stat.S_ISREG(status.st_mode):
            self.file(guest, host.read_bytes(), permissions)

    def bytes(self):
        out = bytearray()
        for number, path in enumerate(sorted(self.entries), start=1):
            mode, data, device = self.entries[path]
            links = 2 if stat.S_ISDIR(mode) else 1
            write(out, path, number, mode, links, data, device)
        write(out, "TRAILER!!!", 0, 0, 1, b"", (0, 0))
        out.extend(bytes(-len(out) % 512))
        return bytes(out)


def write(out, path, inode, mode, links, data, device):
    name = path.encode() + b"\0"
    fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, *device, len(name), 0)
    out += b"070701" + b"".join(b"%08x" % field for field in fields) + name
    out += bytes(-len(out) % 4)
    out += data
    out += bytes(-len(out) % 4)
