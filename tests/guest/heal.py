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


def judge(process, good):
    log = (process.stdout + process.stderr).decode(errors="replace")
    return "" if good(log) else f"status {process.returncode}: {log[-3000:]}"


def panics(target, words):
    p = escalate(target, words)
    return judge(p, lambda log: p.returncode == 125 and re.search(PANIC, log))


def reboots(target):
    p = escalate(target, ["--append", "heal=reboot"])
    return judge(p, lambda log: "ram0 cannot be healed; heal=reboot" in log and "kernel panic" not in log
                 and "the guest stopped without telling a status" in log)


def goes_on(target):
    p = escalate(target, ["--append", "heal=log"])
    return judge(p, lambda log: p.returncode == 0 and p.stdout.decode().rstrip().endswith("4096"))


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
