#!/usr/bin/env python3
"""Fills in the kernel's symbol table, section .ksyms of tern.elf, in place after the link.

core/ reserves the section and reads it for backtraces. All numbers are little-endian:

    8 bytes  magic "TERNSYM1"
    u32      capacity of the section in bytes, this header included (written by core/)
    u32      number of entries (written here)
    entries  u32 address - __image_start, u32 name, u32 file, u32 line, sorted by address
    strings  NUL-terminated; `name` and `file` count from the start of the section

Functions come from the ELF symbol table, lines from its debug information. If the table does not
fit, file names go first, then the smallest functions, with a warning: the build goes on.
"""

import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

from tern import elf as elf_reader  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
MAGIC = b"TERNSYM1"
HEADER, ENTRY = 16, 16

# What the linker script, the assembler and the link-time optimiser add to names.
NOT_A_FUNCTION = re.compile(r"^(\$|\.L|__\w+_(start|end|size)$|__cfi_|$)")
SUFFIX = re.compile(r"\.llvm\.\d+$")


def functions(elf):
    """{address: (name, size)}: for each address the best name that the symbol table has."""
    best = {}
    for symbol in elf.symbols():
        if not 0 < symbol.section < len(elf.sections):
            continue
        if not elf.sections[symbol.section].flags & elf_reader.SHF_EXECINSTR:
            continue
        if symbol.kind not in (elf_reader.STT_FUNC, elf_reader.STT_NOTYPE):
            continue
        if NOT_A_FUNCTION.match(symbol.name):
            continue
        rank = (symbol.kind == elf_reader.STT_FUNC, symbol.size)
        if symbol.value not in best or rank > best[symbol.value][0]:
            best[symbol.value] = (rank, SUFFIX.sub("", symbol.name), symbol.size)
    return {address: (name, size) for address, (_, name, size) in best.items()}


def lines(path, addresses):
    """{address: (file relative to the source root, line)} from the debug information."""
    result = subprocess.run(
        ["llvm-symbolizer-19", f"--obj={path}", "--output-style=JSON", "--no-inlines",
         "--functions=none", "--no-demangle"],
        input="\n".join(hex(a) for a in addresses) + "\n",
        stdout=subprocess.PIPE, text=True, check=True)
    found = {}
    for answer in result.stdout.splitlines():
        record = json.loads(answer)
        frames = record.get("Symbol") or []
        if not frames or not frames[0].get("FileName"):
            continue
        name = os.path.normpath(frames[0]["FileName"])
        inside = os.path.relpath(name, ROOT)
        found[int(record["Address"], 16)] = (
            os.path.basename(name) if inside.startswith("..") else inside,
            frames[0].get("StartLine") or frames[0].get("Line") or 0)
    return found


def table(image_start, names, places, with_files):
    """The bytes of entries and strings."""
    strings = bytearray(b"\0")
    offsets = {"": 0}
    first = HEADER + ENTRY * len(names)

    def string(value):
        if value not in offsets:
            offsets[value] = len(strings)
            strings.extend(value.encode() + b"\0")
        return first + offsets[value]

    entries = bytearray()
    for address in sorted(names):
        file, line = places.get(address, ("", 0)) if with_files else ("", 0)
        entries += struct.pack("<IIII", address - image_start, string(names[address][0]),
                               string(file), line)
    return bytes(entries + strings)


def build_table(image_start, names, places, room):
    """The best table that fits into `room` bytes after the header: (names kept, bytes)."""
    full = table(image_start, names, places, True)
    if len(full) <= room:
        return names, full, ""
    bare = table(image_start, names, places, False)
    if len(bare) <= room:
        return names, bare, f"file names left out: {len(full)} bytes wanted"
    by_size = sorted(names, key=lambda address: names[address][1], reverse=True)
    low, high = 0, len(by_size)
    while low < high:
        middle = (low + high + 1) // 2
        kept = {address: names[address] for address in by_size[:middle]}
        if len(table(image_start, kept, places, False)) <= room:
            low = middle
        else:
            high = middle - 1
    kept = {address: names[address] for address in by_size[:low]}
    return kept, table(image_start, kept, places, False), \
        f"{len(names) - low} small functions and all file names left out: {len(full)} bytes wanted"


def fill(path):
    data = bytearray(path.read_bytes())
    elf = elf_reader.Elf(bytes(data))
    section = elf.section(".ksyms")
    if section is None or section.size == 0:
        print(f"ksyms: {path.name} has no .ksyms section: backtraces will show numbers",
              file=sys.stderr)
        return 0
    at = section.offset
    capacity, = struct.unpack_from("<I", data, at + 8)
    if data[at:at + 8] != MAGIC or not HEADER <= capacity <= section.size:
        print(f"ksyms: the header of .ksyms in {path.name} is wrong", file=sys.stderr)
        return 1
    start = next((s.value for s in elf.symbols() if s.name == "__image_start"), None)
    if start is None:
        print(f"ksyms: {path.name} has no __image_start", file=sys.stderr)
        return 1
    names = functions(elf)
    names = {a: n for a, n in names.items() if 0 <= a - start < 1 << 32}
    places = lines(path, sorted(names))
    kept, content, warning = build_table(start, names, places, capacity - HEADER)
    if warning:
        print(f"ksyms: .ksyms of {path.name} has {capacity} bytes: {warning}", file=sys.stderr)
    struct.pack_into("<I", data, at + 12, len(kept))
    body = content + bytes(capacity - HEADER - len(content))
    data[at + HEADER:at + capacity] = body
    path.write_bytes(data)
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: ksyms.py ELF")
    sys.exit(fill(Path(sys.argv[1])))
