#!/usr/bin/env python3
"""The rules of the tree that a compiler does not see: `check.py RULE...`, or all of them.

Each rule is a function that yields one line for every place that breaks it. The rules on sources
run as tests of the host preset, those on a linked kernel in each release preset. That they can
fail is tested in tests/host/checks/.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

from tern import elf as elf_reader  # noqa: E402

KERNEL_FOLDERS = ("boot", "hal", "core", "mm", "exec", "fs", "ipc", "net", "security", "drivers",
                  "kshell", "modules")
TEST_FOLDERS = ("tests/host", "tests/contract", "tests/kernel")
MACHINE_FOLDERS = ("hal/", "boot/")
ARCHES = ("x86_64", "aarch64", "riscv64")
TARGET = {
    "x86_64": ["--target=x86_64-unknown-linux-none", "-mno-red-zone", "-mcmodel=kernel",
               "-mgeneral-regs-only"],
    "aarch64": ["--target=aarch64-none-elf", "-mgeneral-regs-only"],
    "riscv64": ["--target=riscv64-unknown-elf", "-march=rv64imac_zicsr_zifencei", "-mabi=lp64",
                "-mcmodel=medany"],
}
FILE_LINES = 900
FUNCTION_LINES = 80

ARCH_MACRO = re.compile(r"\b(__x86_64(__)?|__amd64(__)?|__i386(__)?|__aarch64__|__arm__|__ARM_\w+|"
                        r"__riscv(_\w+)?|__SSE\w*__|TERN_ARCH_\w+)\b")
ASSEMBLY = re.compile(r"\b(asm|__asm|__asm__)\b\s*(volatile|goto|inline|__volatile__|\()")
ARCH_HEADER = re.compile(r'#\s*include\s*[<"]((?:hal/)?(?:x86_64|aarch64|riscv64|host)/[^>"]*|'
                         r'(?:\w*intrin|cpuid|arm_\w+|riscv_\w+)\.h)[>"]')
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
# What every module may include without saying so.
ALWAYS = {"hal", "lib"}


class Module(NamedTuple):
    name: str
    folder: str
    deps: tuple


class Tree:
    """The sources, and where the build left what it knows about them."""

    def __init__(self, root, build=None):
        self.root = Path(root)
        self.build = Path(build) if build else None

    def files(self, folders, suffixes):
        for folder in folders:
            base = self.root / folder
            for path in sorted(base.rglob("*")):
                if path.suffix in suffixes and path.is_file():
                    yield path, path.relative_to(self.root).as_posix()

    def modules(self):
        found = []
        for line in (self.build / "modules.txt").read_text().splitlines():
            name, folder, deps = line.split(":")
            found.append(Module(name, folder, tuple(deps.split())))
        return found


def without_comments(source):
    """The source with comments and the insides of literals blanked, line by line as before."""
    def blank(match):
        word = match[0]
        if word.startswith(("/*", "//")):
            return re.sub(r"[^\n]", " ", word)
        return word[0] + " " * (len(word) - 2) + word[-1]
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, source,
                  flags=re.DOTALL)


def line_of(source, position):
    return source.count("\n", 0, position) + 1


# ---- Rules on sources -----------------------------------------------------------------------


def machine(tree):
    """No architecture macro, architecture header or assembly outside hal/ and boot/."""
    for path, name in tree.files(KERNEL_FOLDERS + TEST_FOLDERS, {".c", ".h", ".S", ".s"}):
        if name.startswith(MACHINE_FOLDERS):
            continue
        if path.suffix in (".S", ".s"):
            yield f"{name}: an assembly file outside hal/ and boot/"
            continue
        source = path.read_text()
        code = without_comments(source)
        for pattern, what in ((ARCH_MACRO, "the architecture macro"), (ASSEMBLY, "inline assembly")):
            for match in pattern.finditer(code):
                yield f"{name}:{line_of(code, match.start())}: {what} {match[1]} " \
                      "outside hal/ and boot/"
        for match in ARCH_HEADER.finditer(source):
            if match[1].startswith("host/") and name.startswith("tests/host/"):
                continue  # the knobs of the simulated machine
            yield f"{name}:{line_of(source, match.start())}: the architecture header {match[1]} " \
                  "outside hal/ and boot/"


def public_owner(tree, modules):
    """{first part of an include path: module name}, from the include/ folders."""
    owners = {}
    for module in modules:
        base = tree.root / module.folder / "include"
        for folder in sorted(base.glob("*/")):
            owners[folder.name] = module.name
    return owners


def layers(tree):
    """A module includes only its own headers and those of the modules in its DEPS."""
    modules = tree.modules()
    known = {module.name: module for module in modules}
    owners = public_owner(tree, modules)
    by_depth = sorted(modules, key=lambda m: len(m.folder), reverse=True)
    yield from circles(known)
    for path, name in tree.files(KERNEL_FOLDERS, {".c", ".h", ".S"}):
        module = next((m for m in by_depth if name.startswith(m.folder + "/")), None)
        source = path.read_text()
        for match in INCLUDE.finditer(source):
            where = f"{name}:{line_of(source, match.start(2))}"
            target = match[2]
            if ".." in target.split("/"):
                yield f"{where}: {target}: an include must not climb out of its folder"
            owner = owners.get(target.split("/")[0]) if match[1] == "<" else None
            if module is None or owner is None or owner == module.name or owner in ALWAYS:
                continue
            if owner not in module.deps:
                yield f"{where}: {module.name} includes <{target}>, but {owner} is not in its DEPS " \
                      f"({' '.join(module.deps) or 'none'})"


def circles(known):
    """The DEPS have to be an order."""
    state = {}

    def visit(name, path):
        if state.get(name) == "done" or name not in known:
            return
        if state.get(name) == "open":
            yield f"the DEPS go in a circle: {' -> '.join([*path[path.index(name):], name])}"
            return
        state[name] = "open"
        for dep in known[name].deps:
            yield from visit(dep, [*path, name])
        state[name] = "done"

    for name in known:
        yield from visit(name, [])


def private_folders(tree):
    """{folder: the -I words of what is compiled there}, as the build knows them."""
    found = {}
    path = tree.build / "compile_commands.json" if tree.build else None
    for entry in json.loads(path.read_text()) if path and path.exists() else []:
        folder = Path(entry["file"]).parent
        found.setdefault(folder, [w for w in entry["command"].split() if w.startswith("-I")])
    return found


def headers(tree):
    """Every header compiles alone."""
    private = private_folders(tree)
    includes = [f"-I{p}" for f in KERNEL_FOLDERS for p in sorted((tree.root / f).rglob("include"))]
    includes.append(f"-I{tree.root / 'user/include'}")  # <tern/...>, which programs share
    groups = {}
    for path, name in tree.files(KERNEL_FOLDERS, {".h"}):
        if name.endswith(".ld.h"):
            continue  # a part of the linker script
        arch = next((a for a in ARCHES if f"/{a}/" in name), "x86_64")
        groups.setdefault((arch, "/host/" in name), []).append(path)
    for (arch, hosted), paths in groups.items():
        flags = [] if hosted else ["-ffreestanding", *TARGET[arch]]
        for path in paths:
            near = (path.parent, path.parent.parent / "common", tree.root / "hal/common")
            folders = private.get(path.parent, []) + [f"-I{p}" for p in near]
            result = subprocess.run(
                ["clang-19", "-fsyntax-only", "-std=gnu2x", "-x", "c", "-Wall", "-Wextra", "-Werror",
                 "-Wno-unused-function", "-Wno-unused-parameter", "-Wno-gnu-folding-constant",
                 "-Wno-pragma-once-outside-header", "-Wno-unused-const-variable",
                 "-D_GNU_SOURCE" if hosted else "-DTERN_HEADER_CHECK", *flags, *folders, *includes,
                 str(path)],
                stderr=subprocess.PIPE, text=True)
            if result.returncode != 0:
                first = next((x for x in result.stderr.splitlines() if "error:" in x), "")
                yield f"{path.relative_to(tree.root)} does not compile alone: {first}"


def functions(source):
    """(name, first line, number of lines) of each function that a C source defines."""
    code = without_comments(source)
    # Preprocessor lines may hold unbalanced braces: blank them, continuations included.
    code = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m[0]), code,
                  flags=re.MULTILINE)
    depth, start, head = 0, None, 0
    for match in re.finditer(r"[{};]", code):
        at = match.start()
        if match[0] == "{":
            if depth == 0:
                text = code[head:at]
                name = re.search(r"(\w+)\s*\(", text)
                is_function = name and "=" not in text and re.search(r"\)[\s\w()]*$", text)
                if is_function and name[1] not in ("struct", "union", "enum"):
                    start = (name[1], line_of(code, head + len(text) - len(text.lstrip())))
            depth += 1
        elif match[0] == "}":
            depth -= 1
            if depth == 0:
                if start:
                    yield start[0], start[1], line_of(code, at) - start[1] + 1
                start, head = None, at + 1
        elif depth == 0:
            head = at + 1


def limits(tree):
    """Files have at most 900 lines, functions 80."""
    folders = (*KERNEL_FOLDERS, "user", "tests", "tools", "cmake")
    for path, name in tree.files(folders, {".c", ".h", ".S", ".py", ".cmake"}):
        source = path.read_text()
        count = source.count("\n")
        if count > FILE_LINES:
            yield f"{name}: {count} lines; {FILE_LINES} are the end"
        if path.suffix not in (".c", ".h"):
            continue
        for function, line, length in functions(source):
            if length > FUNCTION_LINES:
                yield f"{name}:{line}: {function} has {length} lines; {FUNCTION_LINES} are the end"


def style(tree):
    """C sources are as clang-format leaves them."""
    paths = [path for path, name in tree.files((*KERNEL_FOLDERS, "user", "tests"), {".c", ".h"})
             if not name.endswith(".ld.h")]
    result = subprocess.run(
        ["clang-format-19", "--dry-run", "-Werror", f"--style=file:{tree.root}/.clang-format",
         *map(str, paths)], stderr=subprocess.PIPE, text=True)
    seen = set()
    for match in re.finditer(r"^(.*?):(\d+):\d+: error: ", result.stderr, re.MULTILINE):
        if match[1] not in seen:
            seen.add(match[1])
            yield f"{Path(match[1]).relative_to(tree.root)}:{match[2]}: clang-format-19 -i wants " \
                  "another form, here and maybe below"


def docs(tree):
    """Every path that the documentation names exists; files that it shows (```c PATH) are as shown."""
    pages = sorted([*tree.root.glob("*.md"), *(tree.root / "docs").rglob("*.md")])
    top = {p.name for p in tree.root.iterdir()} - {"build"}
    for page in pages:
        text = page.read_text()
        for match in re.finditer(r"`([\w.{},*-]+(?:/[\w.{},*-]*)+)(?::\d+)?`", text):
            if match[1].split("/")[0] in top:
                for path in braces(match[1].rstrip("/")):
                    if not there(tree.root, path):
                        yield f"{page.relative_to(tree.root)}:{line_of(text, match.start())}: " \
                              f"there is no {path}"
        for match in re.finditer(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
            if not (page.parent / match[1]).exists():
                yield f"{page.relative_to(tree.root)}:{line_of(text, match.start())}: " \
                      f"the link {match[1]} leads nowhere"
        for match in re.finditer(r"^```c (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            shown = tree.root / match[1]
            if not shown.exists() or shown.read_text() != match[2]:
                yield f"{page.relative_to(tree.root)}:{line_of(text, match.start())}: " \
                      f"{match[1]} is not as it is shown"


def there(root, path):
    """A path of the tree, or one as an #include names it."""
    first = path.split("/")[0]
    return any(any(base.glob(path)) for base in (root, root / first / "include",
                                                 root / "core/lib/include"))


def braces(path):
    """a/{b,c}/d -> a/b/d a/c/d"""
    match = re.search(r"\{([^{}]*)\}", path)
    if not match:
        return [path]
    return [whole for part in match[1].split(",")
            for whole in braces(path[:match.start()] + part + path[match.end():])]


# ---- Rules on a linked kernel ---------------------------------------------------------------


def segments(tree):
    """No segment is writable and executable."""
    elf = elf_reader.Elf((tree.build / "tern.elf").read_bytes())
    both = elf_reader.PF_W | elf_reader.PF_X
    for segment in elf.segments:
        if segment.flags & both == both:
            yield f"tern.elf: the segment at {segment.address:#x} is writable and executable"
    for section in elf.sections:
        if section.flags & elf_reader.SHF_WRITE and section.flags & elf_reader.SHF_EXECINSTR:
            yield f"tern.elf: the section {section.name} is writable and executable"


def hal_calls(tree):
    """The HAL table is folded away: what is not there cannot be called through."""
    path = tree.build / "tern.elf"
    elf = elf_reader.Elf(path.read_bytes())
    tables = [s for s in elf.symbols()
              if re.match(r"hal(\.|$)", s.name) and s.kind == elf_reader.STT_OBJECT]
    for table in tables:
        users = indirect_users(path, table)
        yield f"tern.elf: the HAL table is still in the image ({table.name}, {table.size} bytes)" \
              + (f"; used by {', '.join(users)}" if users else "; its address is taken somewhere")


def indirect_users(path, table):
    """The functions that read the table, where the disassembler can tell."""
    listing = subprocess.run(["llvm-objdump-19", "-d", "--no-show-raw-insn", str(path)],
                             stdout=subprocess.PIPE, text=True, check=True).stdout
    users, function, pages = [], "", {}
    low, high = table.value, table.value + max(table.size, 1)
    for line in listing.splitlines():
        begins = re.match(r"[0-9a-f]+ <(.*)>:$", line)
        if begins:
            function, pages = begins[1], {}
            continue
        page = re.search(r"\badrp\s+(\w+), 0x([0-9a-f]+)", line) \
            or re.search(r"\bauipc\s+(\w+), 0x([0-9a-f]+)", line)
        named = re.search(r"<" + re.escape(table.name) + r"(\+0x[0-9a-f]+)?>", line)
        if page and "adrp" in line and low & ~0xfff <= int(page[2], 16) <= high:
            pages[page[1]] = int(page[2], 16)
        offset = re.search(r"\[(\w+), #0x([0-9a-f]+)\]", line) \
            or re.search(r"add\s+\w+, (\w+), #0x([0-9a-f]+)", line)
        reads = offset and offset[1] in pages \
            and low <= pages[offset[1]] + int(offset[2], 16) < high
        if (named or reads) and function not in users:
            users.append(function)
    return users


SOURCE_RULES = {rule.__name__: rule for rule in (machine, layers, headers, limits, style,
                                                  docs)}
KERNEL_RULES = {rule.__name__: rule for rule in (segments, hal_calls)}


def main():
    rules = SOURCE_RULES | KERNEL_RULES
    parser = argparse.ArgumentParser()
    parser.add_argument("rules", nargs="*", metavar="RULE", help=", ".join(rules))
    parser.add_argument("--build", type=Path, help="the folder of the preset")
    options = parser.parse_args()
    tree = Tree(Path(__file__).resolve().parents[1], options.build)
    broken = 0
    for name in options.rules or list(SOURCE_RULES):
        if name not in rules:
            parser.error(f"there is no rule {name}")
        for line in rules[name](tree):
            print(line)
            broken += 1
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
