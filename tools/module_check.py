#!/usr/bin/env python3
"""Looks at a module as it is built: module_check.py FILE.ko

Every symbol that it wants must be exported by the kernel (an EXPORT_SYMBOL in some exports.c) or by another
module, so that a mistake is found here and not when the module is loaded.
"""

import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

from tern import elf as elf_reader  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
EXPORT = re.compile(r"^EXPORT_SYMBOL\((\w+)\);", re.MULTILINE)


def exported():
    """The names of all EXPORT_SYMBOL lines of the tree."""
    found = set()
    for folder in ("core", "mm", "exec", "fs", "ipc", "net", "drivers", "hal", "modules"):
        for path in (ROOT / folder).rglob("*.c"):
            found.update(EXPORT.findall(path.read_text()))
    return found


def problems(path):
    elf = elf_reader.Elf(path.read_bytes())
    known = exported()
    for symbol in elf.symbols():
        if symbol.section == 0 and symbol.name and symbol.name not in known:
            yield f"{symbol.name} is not exported"
    for section in elf.sections:
        both = elf_reader.SHF_WRITE | elf_reader.SHF_EXECINSTR
        if section.flags & both == both:
            yield f"the section {section.name} is writable and executable"
    if elf.section(".tern_module") is None:
        yield "there is no MODULE(...) in its sources"


def main():
    path = Path(sys.argv[1])
    found = list(problems(path))
    for problem in found:
        print(f"{path.name}: {problem}", file=sys.stderr)
    if found:
        path.unlink()
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
