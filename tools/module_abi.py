#!/usr/bin/env python3
"""Writes module/abi.h: what a kernel and its loadable modules must agree on.

    module_abi.py ARCH BUILD_TYPE FLAGS_FILE OUT

The hash covers every public header and the compiler's flags. OUT is only touched when it changes.
"""

import hashlib
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("hal/include", "core/lib/include", "core/include", "core/module/include", "mm/include",
           "exec/include", "fs/include", "ipc/include", "net/include", "drivers/include")


def release():
    """What uname -r says."""
    text = (ROOT / "core/include/core/version.h").read_text()
    return re.search(r'TERN_RELEASE "([^"]+)"', text)[1]


def digest(arch, kind, flags):
    found = hashlib.sha256(f"{arch}\n{kind}\n{flags}\n".encode())
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.h")):
            found.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return found.hexdigest()[:16]


def main():
    arch, kind, flags, out = sys.argv[1:]
    magic = f"{release()} SMP preempt {arch} {kind.lower()} abi-{digest(arch, kind, Path(flags).read_text())}"
    text = f"""/* Made by tools/module_abi.py. */
#pragma once

#define MODULE_VERMAGIC "{magic}"
"""
    path = Path(out)
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


if __name__ == "__main__":
    main()
