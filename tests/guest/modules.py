"""A module that breaks: what the kernel says of it. (What modules can do is in programs/modules.c.)"""

import re

# Word that is written to /dev/faulty: what the panic page has to say.
BREAKS = {
    "null": ["page fault in the kernel: read of 0", r"break_null\+0x[0-9a-f]+/0x[0-9a-f]+ \[faulty\]"],
    "text": ["page fault in the kernel: write of .*, not allowed", r"break_text\+0x.* \[faulty\]"],
    "data": ["page fault in the kernel: execute of .*, not allowed"],
    "bug": [r"faulty\.c:\d+: this must not be", r"\[faulty\]"],
}


def breaks(target, tap, group):
    for name in tap.matching(group, BREAKS):
        p = target.run(["sh", "-c", f"modprobe faulty && echo {name} >/dev/faulty"], timeout=60)
        page = p.stderr.decode(errors="replace")
        missing = [words for words in BREAKS[name] if not re.search(words, page)]
        tap.result(f"a module breaks: {name}", p.returncode == 125 and not missing,
                   f"status {p.returncode}, not on the page: {missing}\n{page[-3000:]}")
