"""A module that breaks: the call fails, the module counts as failed, the kernel goes on. (What modules can do is in
programs/modules.c.)"""

import re

# Word that is written to /dev/faulty: what the log has to say.
BREAKS = {
    "null": r"page fault at break_null\+0x[0-9a-f]+/0x[0-9a-f]+ \[faulty\], address 0",
    "text": r"page fault at break_text\+0x.* \[faulty\]",
    "data": r"page fault at ",
    "bug": r".*faulty\.c:\d+: this must not be",
    "trap": r"(illegal instruction|breakpoint) at break_trap\+0",
    "hang": r"hang at ",
    "spin": r"hang at ",
    "locks": r"hang at ",
    "twice": r"(hang at |lock faulty is taken twice)",
    "locked": r"page fault at break_null\+0x",
    "waits": r"page fault at break_null\+0x",
}
# After the fault the device answers with an error, the module can be unloaded (its exit takes the locks), loaded
# again, and works; a driver that breaks at its last moment is still the same.
SCRIPT = """modprobe faulty || exit 10
(echo {word} >/dev/faulty) 2>/dev/null && exit 11
(echo wrong >/dev/faulty) 2>/dev/null && exit 12
rmmod faulty || exit 13
modprobe faulty || exit 14
echo wrong >/dev/faulty || exit 15
rmmod faulty || exit 16
dmesg | grep contained
echo alive
"""

# Who looks at a module's health does not use it: unloading waits for the look to end.
LOOK = """modprobe faulty && echo slow >/dev/faulty || exit 10
cat /sys/module/faulty/health &
sleep 0.2
rmmod faulty || exit 11
wait
echo gone
"""

# A debug kernel's lock statistics know the names of a module's locks when the module has gone.
NAMES = """modprobe ramqueue || exit 10
echo "block queued" >/sys/kernel/slots || exit 11
dd if=/dev/ram0 of=/dev/null bs=4k count=1 2>/dev/null || exit 12
echo "block direct" >/sys/kernel/slots || exit 13
rmmod ramqueue || exit 14
cat /sys/kernel/debug/locks
"""

# The provider of a slot breaks, in a module that was called by the slot's own: it is the one that failed. The next
# reader gets through, as the lock is open, and the slot becomes empty, as the gate was left.
SLOT = """modprobe counter && modprobe countlock crash=4 && echo "counter locked" >/sys/kernel/slots || exit 10
dd if=/dev/counter bs=8 count=4 of=/dev/null 2>/dev/null || exit 11
dd if=/dev/counter bs=8 count=1 of=/dev/null 2>/dev/null && exit 12
dd if=/dev/counter bs=8 count=1 2>/dev/null | od -An -t d8
echo "counter atomic fail=export" >/sys/kernel/slots
dmesg | grep -e contained -e "stays: the swap"
"""


def breaks(target, word):
    p = target.run(["sh", "-c", SCRIPT.format(word=word)], timeout=60)
    log = p.stdout.decode(errors="replace")
    said = re.search("module faulty: contained, kernel goes on: " + BREAKS[word], log)
    return "" if p.returncode == 0 and "alive" in log and said else f"status {p.returncode}\n{log[-3000:]}"


def unloads(target):
    p = target.run(["sh", "-c", LOOK], timeout=60)
    said = p.stdout.decode(errors="replace").replace("\r", "")
    return "" if p.returncode == 0 and said == "ok\ngone\n" else f"status {p.returncode}\n{said[-3000:]}"


def names(target):
    p = target.run(["sh", "-c", NAMES], timeout=60)
    said = p.stdout.decode(errors="replace")
    good = "only debug builds" in said or re.search(r"^ramqueue\tspin\t[1-9]", said, re.M)
    return "" if p.returncode == 0 and good else f"status {p.returncode}\n{said[-3000:]}"


def slot_breaks(target):
    p = target.run(["sh", "-c", SLOT], timeout=60)
    said = p.stdout.decode(errors="replace")
    good = re.search(r"^ *5\r?$", said, re.M) and "module countlock: contained" in said \
        and "module counter: contained" not in said and "failed at export" in said
    return "" if p.returncode == 0 and good else f"status {p.returncode}\n{said[-3000:]}"


CASES = {
    **{f"a module breaks: {word}": lambda target, word=word: breaks(target, word) for word in BREAKS},
    "a provider of another module breaks": slot_breaks,
    "unloading waits for a health check": unloads,
    "locks of a module that has gone": names,
}


def run(target, tap, group):
    for name in tap.matching(group, CASES):
        why = CASES[name](target)
        tap.result(name, not why, why)
