"""Each rule of tools/check.py fails on a bad sample and accepts the good one beside it."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tools"))

import check  # noqa: E402

ARCH_FLAGS = {"x86_64": "--target=x86_64-unknown-linux-none", "aarch64": "--target=aarch64-none-elf",
              "riscv64": "--target=riscv64-unknown-elf"}


class Rules(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = Path(self.folder.name)
        self.build = self.root / "build" / "sample"
        self.build.mkdir(parents=True)
        self.tree = check.Tree(self.root, self.build)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def accepts(self, rule):
        self.assertEqual(list(rule(self.tree)), [])

    def refuses(self, rule, *words):
        lines = list(rule(self.tree))
        self.assertTrue(any(all(word in line for word in words) for line in lines),
                        f"{words} not in {lines}")

    # ---- machine

    def test_architecture_macro(self):
        self.write("hal/x86_64/a.c", "#ifdef __x86_64__\n#endif\n")
        self.write("mm/a.c", "/* __aarch64__ in words */\nconst char *s = \"__riscv\";\n")
        self.accepts(check.machine)
        self.write("mm/b.c", "int x;\n#if defined(__riscv)\n#endif\n")
        self.refuses(check.machine, "mm/b.c:2", "__riscv")

    def test_inline_assembly(self):
        self.write("mm/a.c", "int asm_words; /* asm volatile(\"\") */\n")
        self.accepts(check.machine)
        self.write("core/b.c", "void f(void)\n{\n\tasm volatile(\"nop\");\n}\n")
        self.refuses(check.machine, "core/b.c:3", "inline assembly")
        self.write("fs/c.c", "void f(void) { __asm__(\"nop\"); }\n")
        self.refuses(check.machine, "fs/c.c:1")

    def test_architecture_header(self):
        self.write("mm/a.c", "#include <hal/hal.h>\n#include <lib/list.h>\n")
        self.accepts(check.machine)
        self.write("mm/b.c", "#include <hal/x86_64/regs.h>\n")
        self.refuses(check.machine, "mm/b.c:1", "x86_64/regs.h")
        self.write("mm/c.c", "#include <immintrin.h>\n")
        self.refuses(check.machine, "mm/c.c:1", "immintrin.h")

    def test_assembly_file(self):
        self.write("boot/x86_64/entry.S", "nop\n")
        self.accepts(check.machine)
        self.write("exec/switch.S", "nop\n")
        self.refuses(check.machine, "exec/switch.S")

    # ---- layers

    def layered(self):
        (self.build / "modules.txt").write_text(
            "lib:core/lib:\nhal:hal:lib\ncore:core:lib hal\nmm:mm:core\nexec:exec:core mm\n"
            "syscall:exec/syscall:exec\n")
        for name in ("core/lib/include/lib/list.h", "core/include/core/log.h",
                     "mm/include/mm/map.h", "exec/include/exec/thread.h"):
            self.write(name, "#pragma once\n")

    def test_layers(self):
        self.layered()
        self.write("exec/a.c", "#include <core/log.h>\n#include <mm/map.h>\n#include \"a.h\"\n")
        self.write("mm/a.c", "#include <lib/list.h>\n#include <mm/map.h>\n")
        self.accepts(check.layers)
        self.write("mm/b.c", "\n#include <exec/thread.h>\n")
        self.refuses(check.layers, "mm/b.c:2", "exec is not in its DEPS")
        self.write("exec/syscall/c.c", "#include <mm/map.h>\n")
        self.refuses(check.layers, "exec/syscall/c.c:1", "mm is not in its DEPS")

    def test_climbing_include(self):
        self.layered()
        self.write("mm/b.c", "#include \"../core/private.h\"\n")
        self.refuses(check.layers, "mm/b.c:1", "climb")

    def test_circle(self):
        self.layered()
        with open(self.build / "modules.txt", "a") as modules:
            modules.write("x:x:y\ny:y:x\n")
        self.refuses(check.layers, "circle", "x -> y -> x")

    # ---- headers

    def test_headers(self):
        self.write("core/include/core/a.h", "#pragma once\n#include <stdint.h>\nuint32_t f(void);\n")
        self.write("hal/aarch64/regs.h", "#pragma once\nvoid g(void);\n")
        self.accepts(check.headers)
        self.write("mm/include/mm/b.h", "#pragma once\nuint32_t f(void);\n")
        self.refuses(check.headers, "mm/include/mm/b.h", "does not compile alone", "uint32_t")

    # ---- limits

    def test_file_length(self):
        self.write("mm/a.c", "\n" * 900)
        self.accepts(check.limits)
        self.write("mm/b.c", "\n" * 901)
        self.refuses(check.limits, "mm/b.c", "901 lines")

    def test_function_length(self):
        body = "\tx();\n" * 77
        self.write("mm/a.c", "int f(int a)\n{\n" + body + "}\n")
        self.accepts(check.limits)
        self.write("mm/b.c", "struct s { int a; };\n#define M(x) \\\n\tdo {\n"
                   "static int long_one(int a,\n\t\t\tint b)\n{\n" + body
                   + "\tif (a) {\n\t\treturn '{';\n\t}\n}\n")
        self.refuses(check.limits, "mm/b.c:4", "long_one has 84 lines")

    def test_tables_are_no_functions(self):
        self.write("mm/a.c", "static const int t[] = {\n" + "\t1,\n" * 200 + "};\n"
                   "enum e {\n" + "\n" * 100 + "};\n")
        self.accepts(check.limits)

    # ---- style

    def test_style(self):
        self.write(".clang-format", "BasedOnStyle: LLVM\nUseTab: Always\nIndentWidth: 8\n")
        self.write("mm/a.c", "int f(int a) {\n\ta++;\n\treturn a;\n}\n")
        self.accepts(check.style)
        self.write("mm/b.c", "int f(int a) {\n\ta++;\n\treturn a;\n}\nint  g;\n")
        self.refuses(check.style, "mm/b.c:5", "clang-format")

    # ---- docs

    def test_docs(self):
        self.write("mm/frame.c", "")
        self.write("docs/a.md", "See `mm/frame.c`, `mm/frame.c:12`, `mm/`, [it](../mm/frame.c), "
                   "`mm/{frame}.c`, `mm/*.c`, `/proc/self`, `build/x/y`.\n")
        self.accepts(check.docs)
        self.write("docs/b.md", "\nSee `mm/gone.c` and [that](gone.md).\n")
        self.refuses(check.docs, "docs/b.md:2", "mm/gone.c")
        self.refuses(check.docs, "docs/b.md:2", "gone.md")

    def test_docs_show_files(self):
        self.write("mm/frame.c", "int x;\n")
        self.write("docs/a.md", "```c mm/frame.c\nint x;\n```\n\n```c\nint other;\n```\n")
        self.accepts(check.docs)
        self.write("mm/frame.c", "int y;\n")
        self.refuses(check.docs, "docs/a.md:1", "mm/frame.c")

    # ---- a linked kernel

    def link(self, source, *flags):
        (self.build / "a.c").write_text(source)
        for arch in self.arches:
            subprocess.run(["clang-19", ARCH_FLAGS[arch], "-ffreestanding", "-O1", "-c",
                            self.build / "a.c", "-o", self.build / "a.o"], check=True)
            subprocess.run(["ld.lld-19", "-e", "f", *flags, self.build / "a.o", "-o",
                            self.build / "tern.elf"], check=True)
            yield arch

    arches = tuple(ARCH_FLAGS)

    def test_writable_and_executable(self):
        source = "int data = 1; int f(void) { return data++; }\n"
        for arch in self.link(source):
            self.accepts(check.segments)
        for arch in self.link(source, "--omagic"):
            self.refuses(check.segments, "writable and executable")

    def test_hal_table(self):
        declared = "struct hal_ops { int (*a)(int); int (*b)(int); };\n" \
            "static int one(int x) { return x + 1; }\nstatic int two(int x) { return x + 2; }\n"
        for arch in self.link(declared + "int f(int x) { return one(two(x)); }\n"):
            self.accepts(check.hal_calls)
        for arch in self.link(declared + "const struct hal_ops hal = {one, two};\n"
                              "const struct hal_ops *volatile p = &hal;\n"
                              "int f(int x) { return p->a(x); }\n"):
            self.refuses(check.hal_calls, "HAL table is still in the image (hal, 16 bytes)")
        # A table that the compiler may not look into, as in a build without LTO.
        for arch in self.link(declared + "extern const struct hal_ops hal;\n"
                              "int f(int x) { return hal.b(x) + hal.a(x); }\n"
                              "__attribute__((weak)) const struct hal_ops hal = {one, two};\n"):
            self.refuses(check.hal_calls, "still in the image")
            if arch != "riscv64":
                self.refuses(check.hal_calls, "used by f")


if __name__ == "__main__":
    unittest.main()
