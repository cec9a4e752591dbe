"""A reader for 64-bit little-endian ELF files, as far as the tools here need one."""

import struct
from typing import NamedTuple

PT_LOAD = 1
PF_X, PF_W = 1, 2
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR = 1, 2, 4
SHT_SYMTAB, SHT_NOBITS = 2, 8
STT_NOTYPE, STT_OBJECT, STT_FUNC = 0, 1, 2


class Segment(NamedTuple):
    kind: int
    flags: int
    offset: int
    address: int
    physical: int
    file_size: int
    memory_size: int
    align: int


class Section(NamedTuple):
    name: str
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int


class Symbol(NamedTuple):
    name: str
    kind: int
    section: int
    value: int
    size: int


def text(data, start):
    return data[start:data.index(b"\0", start)].decode()


class Elf:
    def __init__(self, data):
        if data[:6] != b"\x7fELF\x02\x01":
            raise ValueError("not a 64-bit little-endian ELF file")
        self.data = data
        (_, self.machine, _, self.entry, phoff, shoff, _, _, phsize, phnum,
         shsize, shnum, shstrndx) = struct.unpack_from("<HHIQQQIHHHHHH", data, 16)
        self.segments = []
        for i in range(phnum):
            kind, flags, offset, address, physical, file_size, memory_size, align = \
                struct.unpack_from("<IIQQQQQQ", data, phoff + i * phsize)
            self.segments.append(Segment(kind, flags, offset, address, physical, file_size,
                                         memory_size, align))
        raw = [struct.unpack_from("<IIQQQQIIQQ", data, shoff + i * shsize) for i in range(shnum)]
        names = raw[shstrndx][4] if raw else 0
        self.sections = [Section(text(data, names + s[0]), s[1], s[2], s[3], s[4], s[5], s[6])
                         for s in raw]

    def at(self, address, size):
        """The bytes that are loaded at an address."""
        segment = next(s for s in self.segments
                       if s.kind == PT_LOAD and 0 <= address - s.address < s.file_size)
        start = segment.offset + address - segment.address
        return self.data[start:start + size]

    def section(self, name):
        return next((s for s in self.sections if s.name == name), None)

    def symbols(self):
        for table in self.sections:
            if table.kind != SHT_SYMTAB:
                continue
            strings = self.sections[table.link].offset
            for at in range(table.offset, table.offset + table.size, 24):
                name, info, _, section, value, size = struct.unpack_from("<IBBHQQ", self.data, at)
                yield Symbol(text(self.data, strings + name), info & 15, section, value, size)
