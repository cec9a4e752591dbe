"""The parts of ./tern that can be tested without a guest."""

import io
import os
import struct
import subprocess
import sys
import tempfile
import unittest
from contextlib import redirect_stderr
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools"))

import ksyms  # noqa: E402
from tern import cli, console, cpio, elf, initramfs, test  # noqa: E402
from tern.common import Usage  # noqa: E402


class Console(unittest.TestCase):
    STREAM = b"fw\r\n\033_tern:begin:\033\\a\033[1mb\033_tern:log:[ 0.1] x:y\033\\c\033_other\033\\" \
             b"\0\xff\033_tern:exit:7\033\\"
    RECORDS = [("begin", ""), ("log", "[ 0.1] x:y"), ("exit", "7")]
    OUTPUT = b"fw\r\na\033[1mbc\033_other\033\\\0\xff"

    def cut(self, pieces):
        unframer = console.Unframer()
        items = [item for piece in pieces for item in unframer.feed(piece)]
        items += list(unframer.rest())
        return (b"".join(c for k, c in items if k == "output"),
                [(k, c) for k, c in items if k != "output"])

    def test_whole_and_in_pieces(self):
        for size in (1, 2, 3, 5, 8, 1000):
            pieces = [self.STREAM[i:i + size] for i in range(0, len(self.STREAM), size)]
            self.assertEqual(self.cut(pieces), (self.OUTPUT, self.RECORDS), size)

    def test_a_record_without_end_is_output_in_the_end(self):
        data = console.START + b"x" * (console.LONGEST_RECORD + 10)
        self.assertEqual(self.cut([data]), (data, []))

    def test_typing(self):
        typist = console.Typist(terminal=True)
        self.assertEqual(typist.commands(b"a\x01\x01b"), b"a\x01b")
        self.assertFalse(typist.quit)
        self.assertEqual(typist.commands(b"c\x01"), b"c")
        self.assertEqual(typist.commands(b"x"), b"")
        self.assertTrue(typist.quit)


    def test_typing_as_far_as_allowed(self):
        typist = console.Typist(terminal=False)
        typist.waiting, typist.open = b"a\x10bcd", False
        self.assertFalse(typist.prepare(0))
        read, write = os.pipe()
        for permitted, wanted in ((2, b"a\x10\x10"), (3, b"b"), (3, b""), (9, b"cd\x10e"), (20, b"")):
            if typist.prepare(permitted):
                typist.write(write)
                self.assertEqual(os.read(read, 100), wanted)
            else:
                self.assertEqual(b"", wanted)


class Cpio(unittest.TestCase):
    def test_reads_back(self):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "d").mkdir()
            (Path(folder) / "d/f").write_bytes(b"data")
            (Path(folder) / "d/f").chmod(0o640)
            (Path(folder) / "d/l").symlink_to("f")
            archive = cpio.Archive()
            archive.symlink("sbin", "bin")
            archive.file("sbin/x", b"12345", 0o755)
            archive.copy(folder, "/top")
            archive.file("etc/e", "first")
            archive.file("/etc/e", "second")
            entries = self.read(archive.bytes())
        self.assertEqual(entries["bin/x"], (0o100755, b"12345"))
        self.assertEqual(entries["sbin"], (0o120777, b"bin"))
        self.assertEqual(entries["top/d/f"], (0o100640, b"data"))
        self.assertEqual(entries["top/d/l"], (0o120777, b"f"))
        self.assertEqual(entries["etc/e"], (0o100644, b"second"))
        self.assertEqual(entries["etc"][0], 0o040755)
        self.assertLess(list(entries).index("top"), list(entries).index("top/d"))

    def read(self, data):
        self.assertEqual(len(data) % 512, 0)
        entries, at = {}, 0
        while True:
            self.assertEqual(data[at:at + 6], b"070701")
            fields = [int(data[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
            name = data[at + 110:at + 110 + fields[11] - 1].decode()
            start = (at + 110 + fields[11] + 3) & ~3
            if name == "TRAILER!!!":
                return entries
            entries[name] = (fields[1], data[start:start + fields[6]])
            at = (start + fields[6] + 3) & ~3

    def test_program(self):
        entries = self.read(initramfs.program(["a b", "", "ü"], True))
        self.assertEqual(entries["etc/tern-run"][1], "a b\0\0ü\0".encode())
        self.assertIn("etc/tern-run-tty", entries)
        with self.assertRaises(Usage):
            initramfs.program(["x" * 70000], False)


class Ksyms(unittest.TestCase):
    SOURCE = """
const struct { char magic[8]; unsigned capacity, count; char room[%d]; } k
__attribute__((section(".ksyms"), used)) = {"TERNSYM1", sizeof(k), 0};
static int __attribute__((noinline)) inner(int x) { return x * 3; }
int outer(int y) { return inner(y) + 1; }
"""

    def table(self, room):
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder)
            (base / "a.c").write_text(self.SOURCE % room)
            subprocess.run(["clang-19", "--target=x86_64-unknown-linux-none", "-ffreestanding", "-g",
                            "-O1", "-fpie", "-flto=full", "-c", "a.c"], cwd=base, check=True)
            subprocess.run(["ld.lld-19", "-pie", "--no-dynamic-linker", "-e", "outer", "--defsym",
                            "__image_start=0x1000", "a.o", "-o", "a.elf"], cwd=base, check=True)
            warning = io.StringIO()
            with redirect_stderr(warning):
                self.assertEqual(ksyms.fill(base / "a.elf"), 0)
            data = (base / "a.elf").read_bytes()
        image = elf.Elf(data)
        section = image.section(".ksyms")
        raw = data[section.offset:section.offset + section.size]
        count, = struct.unpack_from("<I", raw, 12)
        found = {}
        for i in range(count):
            address, name, file, line = struct.unpack_from("<IIII", raw, 16 + 16 * i)
            found[elf.text(raw, name)] = (address + 0x1000, elf.text(raw, file), line)
        addresses = {s.name: s.value for s in image.symbols()}
        return found, addresses, warning.getvalue()

    def test_filled(self):
        found, addresses, warning = self.table(1000)
        self.assertEqual(found["inner"], (addresses["inner"], "a.c", 4))
        self.assertEqual(found["outer"], (addresses["outer"], "a.c", 5))
        self.assertEqual(warning, "")

    def test_too_small(self):
        found, addresses, warning = self.table(46)
        self.assertEqual(found["inner"], (addresses["inner"], "", 0))
        self.assertIn("file names left out", warning)
        found, _, warning = self.table(24)
        self.assertEqual(len(found), 1)
        self.assertIn("functions", warning)


class Counting(unittest.TestCase):
    def count(self, output, status="run"):
        import xml.etree.ElementTree as xml
        case = xml.Element("testcase", name="t", status=status)
        xml.SubElement(case, "system-out").text = output
        tally = test.Tally()
        test.count("preset", case, tally)
        return tally.passed, tally.skipped, [f[2] for f in tally.failures]

    def test_plain(self):
        self.assertEqual(self.count("words"), (1, 0, []))
        self.assertEqual(self.count("words", "fail"), (0, 0, [""]))

    def test_tap(self):
        out = "ok 1 - a\nnot ok 2 - b: c\n#   why\nok 3 - d # SKIP no\nok 4 e\n1..4\n"
        self.assertEqual(self.count(out, "fail"), (2, 1, ["b: c"]))
        self.assertEqual(self.count("ok 1 - a\n", "fail"), (1, 0, [""]))
        self.assertEqual(self.count("1..0\n"), (0, 0, []))


class Calls(unittest.TestCase):
    def status(self, *words):
        said = io.StringIO()
        with redirect_stderr(said):
            status = cli.main(list(words))
        return status, said.getvalue().count("\n")

    def test_wrong_calls_get_one_line_and_status_2(self):
        for words in (["frob"], ["run", "z80"], ["run", "--smp", "0"], ["run", "--mem", "12Q"],
                      ["run", "--disk", "x"], ["run", "--boot", "uefi"], ["run", "--boot", "x"],
                      ["run", "aarch64", "--boot", "grub"], ["run", "--"], ["bench", "--vs", "x"],
                      ["bench", "-k", "no such"], ["bench", "--profile", "no such"],
                      ["bench", "all", "--profile", "null_call"], ["bench", "--ram"],
                      ["run", "--timeout", "-1"], ["build", "--preset", "x"], ["test", "x"],
                      ["run", "--preset"], ["setup", "now"], ["test", "-k", "("]):
            self.assertEqual(self.status(*words), (2, 1), words)


if __name__ == "__main__":
    os.chdir(ROOT)
    unittest.main()
