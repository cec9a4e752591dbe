"""BusyBox in the guest: against the same BusyBox on Linux, and what it shows of the system."""

from harness import HERE, ROOT, WORK, boot_cases, parse_cases, reference, replacing, stage

TIMEOUT = 400


def corpus(target):
    """Real files to work on."""
    return {
        "LICENSE": ROOT / "LICENSE",
        "style.md": ROOT / "CONTRIBUTING.md",
        "presets.json": ROOT / "CMakePresets.json",
        "code.c": ROOT / "core/log.c",
        "code.h": ROOT / "hal/include/hal/hal.h",
        "tool.py": ROOT / "tools/check.py",
        "run.sh": ROOT / "tern",
        "image.bin": target.busybox(),
    }


def run_table(target, tap, group, cases, answers, files):
    names = tap.matching(group, cases)
    if not names:
        return
    chosen = {name: cases[name] for name in names}
    staged = WORK / f"{group}-{target.arch}-{target.smp}-{target.boot}"
    with replacing(staged) as folder:
        stage(folder, chosen, files)
    got, process = boot_cases(target, staged, TIMEOUT)
    for name in names:
        status, output = answers(name)
        if name not in got:
            tap.result(name, False, "the guest did not get that far")
        elif status is not None and got[name][0] != status:
            tap.result(name, False, f"status {got[name][0]} instead of {status}\n"
                       + got[name][1].decode(errors="backslashreplace")[-2000:])
        else:
            tap.equal(name, got[name][1], output)
    if "end" not in got or process.returncode != 0:
        tap.result(f"{group} ends", False, f"status {process.returncode}\n"
                   + process.stderr.decode(errors="backslashreplace")[-4000:])


def against_linux(target, tap, group):
    """The applets: same script, same BusyBox, same answer."""
    cases = parse_cases(HERE / "busybox.cases")
    files = corpus(target)
    wanted = reference(target, cases, files)
    run_table(target, tap, group, cases, wanted.__getitem__, files)


def of_the_system(target, tap, group):
    """What only this kernel can answer."""
    cases, answers = {}, {}
    for name, text in parse_cases(HERE / "system.cases").items():
        script, _, answer = text.partition("\n--\n")
        cases[name] = script + "\n"
        answers[name] = answer.rstrip("\n") + "\n" if answer.strip() else ""
    run_table(target, tap, group, cases,
              lambda name: (None, answers[name].encode()), corpus(target))
