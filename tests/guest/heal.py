"""The last rung of the ladder (heal=panic, reboot, log): a disk that is required and cannot be healed. (The others
are in programs/heal.c.)"""

import re

# One restart is allowed and no swap, and the driver crashes at each request.
SCRIPT = """modprobe ramqueue || exit 10
echo "block queued" >/sys/kernel/slots || exit 11
echo "ram0 restarts=1 swaps=0 required=1" >/sys/kernel/heal || exit 12
tern-ctl heal inject crash 1000 || exit 13
dd if=/dev/ram0 bs=4k count=1 2>/dev/null && exit 14
echo "block direct" >/sys/kernel/slots || exit 15
grep '^ram0 *escalated' /sys/kernel/heal || exit 16
grep 'ram0  *restart  *works again with queued' /sys/kernel/heal || exit 17
grep 'ram0  *escalate  *cannot be healed' /sys/kernel/heal || exit 18
tern-ctl heal reset ram0 || exit 19
dd if=/dev/ram0 bs=4k count=1 2>/dev/null | wc -c
"""
PANIC = r"heal: ram0 cannot be healed: the driver crashed"


def escalate(target, words):
    return target.run(["sh", "-c", SCRIPT], [*words, "-v"], timeout=60)


def text_of(process):
    return (process.stdout + process.stderr).decode(errors="replace")


def panics(target, words):
    p = escalate(target, words)
    return "" if p.returncode == 125 and re.search(PANIC, text_of(p)) else f"status {p.returncode}: {text_of(p)[-3000:]}"


def reboots(target):
    p = escalate(target, ["--append", "heal=reboot"])
    good = "ram0 cannot be healed; heal=reboot" in text_of(p) and "escalated" not in text_of(p)
    return "" if good and p.returncode not in (0, 125) else f"status {p.returncode}: {text_of(p)[-3000:]}"


def goes_on(target):
    p = escalate(target, ["--append", "heal=log"])
    good = p.returncode == 0 and text_of(p).rstrip().endswith("4096")
    return "" if good else f"status {p.returncode}: {text_of(p)[-3000:]}"


CASES = {
    "required: a panic": lambda target: panics(target, []),
    "required: heal=panic": lambda target: panics(target, ["--append", "heal=panic"]),
    "required: heal=reboot": reboots,
    "required: heal=log": goes_on,
}


def run(target, tap, group):
    for name in tap.matching(group, CASES):
        why = CASES[name](target)
        tap.result(name, not why, why)
