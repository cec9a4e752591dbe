"""`./tern run`: boots a kernel to a shell on this terminal, or for the run of one program."""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import termios
from pathlib import Path
from typing import NamedTuple

from tern import build, console, initramfs, qemu
from tern.common import BUILD, STATUS_PANIC, STATUS_TIMEOUT, Failure, Usage, relative, say

PR_SET_PDEATHSIG = 1


class Request(NamedTuple):
    """One call of `./tern run`, also made by the tests and benchmarks."""
    arch: str = "x86_64"
    preset: str | None = None
    program: list | None = None
    smp: int = 4
    mem: str = "512M"
    cpu: str | None = None
    machine: str | None = None
    boot: str = "direct"
    append: str = ""
    add: tuple = ()
    icount: bool = False
    gdb: bool = False
    timeout: float | None = None
    verbose: bool = False
    qemu: str = ""  # more words for the emulator
    initramfs: str | None = None  # "none", or the path of an archive to take instead of ours


def die_with_parent():
    """Whatever ends ./tern ends the emulator."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def prepare(request, workspace, interactive):
    """Brings the kernel and the initramfs up to date; returns the machine to start."""
    qemu.check_boot_method(request.arch, request.boot)
    additions = [initramfs.parse_add(text) for text in request.add]
    folder = build.build(build.preset_for(request.arch, request.preset))
    words = ["exit=emulator"]
    if interactive or at_terminal():
        size = console.window_size()
        words += [f"console.size={size}"] if size else []
    if not interactive:
        words += ["console=framed"] if request.verbose else ["console=framed", "quiet"]
    words += ["nokaslr"] if request.gdb else []  # the same addresses each time
    words += [request.append] if request.append else []
    if request.initramfs == "none":
        archive = None
    elif request.initramfs:
        archive = Path(request.initramfs)
    else:
        archive = initramfs.make(request.arch, folder / "user" / "init", additions,
                                 request.program, at_terminal(), workspace / "initramfs.cpio")
    return qemu.Machine(request.arch, folder, archive, " ".join(words), request.smp, request.mem,
                        request.cpu, request.machine, request.boot, request.icount, request.gdb,
                        request.qemu)


def at_terminal():
    """A person at both ends: keys go through one by one, and the program sees a terminal."""
    return os.isatty(0) and os.isatty(1) and os.tcgetpgrp(0) == os.getpgrp()


def announce_debugger(machine):
    elf = relative(machine.kernel / "tern.elf")
    say("the guest waits for a debugger: "
        f"gdb-multiarch {elf} -ex 'target remote localhost:1234'")


def run(request):
    """Returns the exit status."""
    interactive = request.program is None
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=BUILD) as folder:
        workspace = Path(folder)
        machine = prepare(request, workspace, interactive)
        if request.gdb:
            announce_debugger(machine)
        if interactive:
            return run_shell(request, qemu.command(machine, workspace, shell_console()))
        return run_program(request, qemu.command(
            machine, workspace, ["-chardev", "stdio,id=console,signal=off",
                                 "-serial", "chardev:console", "-monitor", "none"]), workspace)


def shell_console():
    return ["-chardev", "stdio,id=console,mux=on,signal=off", "-serial", "chardev:console",
            "-mon", "chardev=console"]


def run_shell(request, command):
    """The emulator has the terminal; it is put back as it was, whatever happens."""
    saved = termios.tcgetattr(0) if os.isatty(0) else None
    say("Ctrl-A x leaves the emulator")
    process = subprocess.Popen(command, preexec_fn=die_with_parent)
    try:
        # Ctrl-C belongs to the guest; QEMU's terminal mode sees to that.
        code = process.wait(request.timeout)
    except subprocess.TimeoutExpired:
        say(f"stopped after {request.timeout:g} s")
        return STATUS_TIMEOUT
    finally:
        stop(process)
        if saved:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)
    return qemu.status_of(request.arch, code) if code >= 0 else 128 - code


def run_program(request, command, workspace):
    errors = workspace / "emulator-errors"
    with open(errors, "wb") as complaints:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=complaints, preexec_fn=die_with_parent)
    try:
        heard = console.converse(process, request.timeout, request.verbose, at_terminal())
        code = process.wait(console.LAST_WORD_GRACE)
    except subprocess.TimeoutExpired:
        raise Failure("the emulator closed its console and went on", STATUS_PANIC) from None
    finally:
        stop(process)
    complaint = errors.read_text(errors="replace").strip()
    if heard.status is None and not heard.heard and code == 1 and complaint:
        raise Usage(complaint.splitlines()[0])
    if complaint:
        print(complaint, file=sys.stderr)
    if heard.status is None:
        say("the guest stopped without telling a status"
            + ("" if heard.begun else "; -v shows what it said"))
        return STATUS_PANIC
    return heard.status


def stop(process):
    if process.poll() is None:
        process.kill()
        process.wait()
