"""The tests inside the kernel (tests/kernel, tests/contract): booted with `ktest`, and crashes that
are made on purpose with `kcrash=NAME`."""

import re

RESULT = re.compile(r"^\s*(ok|not ok) \d+ ?-? ?(.*)$")

# Crash: what the panic page has to say (lower case), whichever architecture.
CRASHES = {
    "null-read": ["page fault in the kernel: read of 0x8"],
    "null-write": ["page fault in the kernel: write of 0x8"],
    "null-call": ["in the kernel"],
    "bug": ["two == 2", "crash.c"],
    "text-write": ["page fault in the kernel: write of", "not allowed"],
    "data-execute": ["in the kernel"],
    "stack": ["kernel stack overflow of thread \"boot\""],
    "sealed-write": ["page fault in the kernel: write of", "not allowed", "sealed_write"],
    "init-call": ["page fault in the kernel: execute of", "nothing is mapped", "boot_code+"],
    "stack-smash": ["stack smashing in smash"],
    "call-type": ["indirect call of the wrong type of function: call_type", "calls wants_two"],
    "user-read": ["read of user memory at 0x400000, outside user copies"],
    "user-write": ["write of user memory at 0x400000, outside user copies"],
    "user-execute": ["execute of user memory at 0x400000, outside user copies"],
    "heap-overflow": ["overflow: block", "of 100 bytes, byte 103 is 0x78", "allocated by",
                      "heap_overflow+", "found by"],
    "heap-underflow": ["underflow: block", "byte -20 is 0x78"],
    "heap-double-free": ["double free: block", "allocated by", "freed by", "found by"],
    "heap-use-after-free": ["use after free: block", "byte 7 is 0x78", "freed by"],
    "heap-foreign-free": ["foreign free: block", "found by", "heap_foreign_free+"],
    "wrong-move": ["state running, asked to go from running to dead", "wrong_move+"],
    "wrong-state": ["state running, asked to go from ready to running", "wrong_state+"],
}
# What the command line needs besides.
WORDS = {name: "heap_debug panic_on_corruption" for name in CRASHES if name.startswith("heap-")}
# The word that makes it, if that is not kcrash=NAME.
OTHERS = {"init-required": "initfail=filesystem", "init-rollback": "initfail=userland"}
ONLY_DEBUG = {
    "init-required": ['init: "filesystem" failed', "init_run"],
    "init-rollback": ['init: "userland" failed: ', "; stopped again: ", " watchdog drivers"],
    "lock-twice": ["twice"],
    "sleep-locked": ["taking a mutex in atomic context", "1 spinlocks held", "holds lock held",
                     "sleep_locked"],
    "sleep-irq-off": ["taking a mutex in atomic context", "interrupts off", "sleep_irq_off"],
    "sleep-preempt-off": ["sleeping in atomic context", "preemption off 1", "sleep_preempt_off"],
}

# What is reported and goes on: what the log has to say, CPUs.
REPORTS = {
    "soft-lockup": (["soft lockup: cpu", "not passed the scheduler for 1 s",
                     'thread \\d+ "culprit"', r"stay_atomic\+0x"], (1, 2)),
    "hard-lockup": (["hard lockup: cpu", "taken no interrupt for 1 s", 'thread \\d+ "culprit"'],
                    (2,)),
    "hung-task": (['hung task: thread \\d+ "culprit"', "waits for lock", r"wait_for_mutex\+0x"],
                  (1, 2)),
}
WATCHED = "watchdog_thresh=1 hung_task_timeout_secs=1"


def inside(target, tap, group):
    """Each line of the kernel's own TAP output is a result; notes come before their line."""
    words = ["ktest"]
    if tap.pattern is not None and not tap.pattern.search(group):
        words = ["ktest=" + tap.pattern.pattern]
    p = target.run(["true"], ["--append", " ".join(words)], timeout=300)
    notes = []
    plan = None
    for line in p.stdout.decode(errors="backslashreplace").replace("\r", "").splitlines():
        match = RESULT.match(line)
        if match and not re.search(r"# skip\b", match[2], re.IGNORECASE):
            tap.result(match[2], match[1] == "ok", "\n".join(notes))
            notes = []
        elif match:
            notes = []
        elif line.strip().startswith("#"):
            notes.append(line.strip())
        elif re.match(r"1\.\.\d+", line.strip()):
            plan = int(line.strip()[3:])
    if tap.pattern is not None and not tap.number:
        return
    if plan is None or p.returncode not in (0, 1) or (p.returncode != 0) != (tap.failed > 0):
        tap.result(f"{group} ends", False, f"status {p.returncode}, plan {plan}\n"
                   + "\n".join(notes) + p.stderr.decode(errors="replace")[-3000:])


def crashes(target, tap, group):
    """A crash of the kernel is one readable page with names, and status 125."""
    wanted = dict(CRASHES)
    if target.preset.endswith("debug"):
        wanted |= ONLY_DEBUG
    for name in tap.matching(group, wanted):
        word = OTHERS.get(name, f"kcrash={name}")
        p = target.run(["true"], ["--append", f"{word} {WORDS.get(name, '')}", "-v"], timeout=60)
        page = p.stderr.decode(errors="replace").lower()
        missing = [word for word in wanted[name] if word not in page]
        if p.returncode != 125 or missing:
            tap.result(f"crash {name}", False,
                       f"status {p.returncode}, not on the page: {missing}\n{page[-3000:]}")
        else:
            tap.result(f"crash {name}", re.search(r"\w+\+0x[0-9a-f]+ \(\S+\.[cs]:\d+\)", page),
                       f"no function with file and line\n{page[-3000:]}")
    reports(target, tap, group)


def reports(target, tap, group):
    """The watchdogs say what they see, once, and the machine goes on."""
    for name in tap.matching(group, REPORTS):
        wanted, machines = REPORTS[name]
        for smp in machines:
            p = watched(target, name, smp)
            said = p.stderr.decode(errors="replace").replace("\r", "")
            missing = [word for word in wanted if not re.search(word, said)]
            alarms = len(re.findall(r"watchdog: (?:soft|hard|hung)", said))
            tap.result(f"watchdog {name}, {smp} CPU(s)",
                       p.returncode == 0 and not missing and alarms == 1
                       and (name != "hard-lockup" or call_chain_of_a_deaf_cpu(target, said)),
                       f"status {p.returncode}, {alarms} alarms, not said: {missing}\n"
                       + said[-3000:])
    for _ in tap.matching(group, ["init-optional"]):
        p = target.run(["cat", "/sys/kernel/init"], ["--append", "initfail=kshell", "-v"], timeout=60)
        said = p.stderr.decode(errors="replace")
        tap.result("an optional subsystem may fail", p.returncode == 0
                   and re.search(rb"kshell +failed", p.stdout)
                   and re.search(rb"userland +running", p.stdout)
                   and '"kshell" failed' in said, p.stdout.decode(errors="replace") + said)
    for _ in tap.matching(group, ["no-lockup"]):
        p = watched(target, "no-lockup", 2)
        said = p.stderr.decode(errors="replace")
        tap.result("no false alarm of the watchdogs", p.returncode == 0
                   and "ktest: no false alarm" in said, said[-3000:])


def call_chain_of_a_deaf_cpu(target, said):
    """x86_64 and aarch64 have an interrupt that the kernel does not mask."""
    return target.arch == "riscv64" or re.search(r"stay_deaf\+0x", said)


def watched(target, name, smp):
    return target.run(["true"], ["--append", f"kcrash={name} {WATCHED}", "-v"], timeout=90, smp=smp)
