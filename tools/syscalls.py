"""Writes docs/system-calls.md from exec/syscall/table.def, the one definition of the system calls.

With --check: fails if the page is not what the table says.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "exec/syscall/table.def"
PAGE = ROOT / "docs/system-calls.md"

KINDS = {"d": "signed", "u": "unsigned", "x": "bits", "o": "mode", "p": "address", "s": "text",
         "f": "descriptor"}

HEAD = """# System calls

Made by `tools/syscalls.py` from `exec/syscall/table.def`; do not edit. Numbers are Linux's: those of
x86_64, and the generic ones of AArch64 and RISC-V (-: that ABI has no such call). Calls that are
missing answer ENOSYS; `/proc/tern/unimplemented` counts what programs asked for. `trace=syscall` on
the kernel command line logs every call with the arguments named here.

| call | x86_64 | generic | arguments |
|---|---|---|---|
"""


def number(text):
    return "-" if text == "NONE" else text


def page():
    text = TABLE.read_text()
    calls = re.findall(r'^CALL\((\w+), (\w+), (\w+), "(\w*)"\)$', text, re.M)
    missing = re.findall(r"^MISSING\((\w+), (\w+), (\w+)\)$", text, re.M)
    rows = [f"| {name} | {number(x86)} | {number(generic)} | "
            f"{', '.join(KINDS[k] for k in kinds)} |"
            for x86, generic, name, kinds in sorted(calls, key=lambda c: c[2])]
    names = ", ".join(sorted(name for _, _, name in missing))
    return (HEAD + "\n".join(rows)
            + f"\n\n{len(calls)} calls are there. Known by name and missing ({len(missing)}): {names}.\n")


def main():
    if sys.argv[1:] == ["--check"]:
        if not PAGE.exists() or PAGE.read_text() != page():
            sys.exit("docs/system-calls.md is out of date: run python3 tools/syscalls.py")
    else:
        PAGE.write_text(page())


main()
