"""The command lines of the emulator for the three machines."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from tern import setup
from tern.common import Usage, run_quietly

# Always the translator: what passes for hardware virtualisation on many test machines is slower.
ACCELERATOR = ["-accel", "tcg"]
# One instruction is one nanosecond of the guest's time: every run takes the same path, also what
# the guest gets as date and as random numbers.
COUNTED = ["-icount", "shift=0,sleep=off", "-rtc", "base=2026-01-01,clock=vm", "-seed", "1"]

MACHINE = {"x86_64": "q35", "aarch64": "virt,gic-version=3", "riscv64": "virt"}
# aarch64: the architected pointer-authentication cipher costs the translator a factor of five.
CPU = {"x86_64": "max", "aarch64": "max,pauth-impdef=on", "riscv64": "rv64"}
# How the guest's exit status reaches us.
EXIT_DEVICE = {
    "x86_64": ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"],
    "aarch64": ["-semihosting"],
    "riscv64": [],  # part of the machine
}
BOOT_METHODS = {"x86_64": ("direct", "grub"), "aarch64": ("direct",), "riscv64": ("direct",)}
LATER_BOOT_METHODS = ("limine", "uefi", "efi", "uboot", "u-boot")


class Machine(NamedTuple):
    """What to boot and in what."""
    arch: str
    kernel: Path  # the folder of the preset, or the image of another kernel
    initramfs: Path | None
    cmdline: str
    smp: int = 4
    mem: str = "512M"
    cpu: str | None = None
    machine: str | None = None
    boot: str = "direct"
    icount: bool = False
    gdb: bool = False
    words: str = ""  # more of them, as a shell would split them


def check_boot_method(arch, method):
    if method in BOOT_METHODS[arch]:
        return
    if method in LATER_BOOT_METHODS or any(method in known for known in BOOT_METHODS.values()):
        raise Usage(f"--boot {method}: not there yet for {arch}, which boots by "
                    + " or ".join(BOOT_METHODS[arch]))
    raise Usage(f"--boot {method}: unknown; {arch} boots by {' or '.join(BOOT_METHODS[arch])}")


def command(machine, workspace, console):
    """The emulator's words; `console` is how the one serial port is connected."""
    m = machine
    setup.require(f"emulator-{m.arch}", *(["grub"] if m.boot == "grub" else []))
    words = [f"qemu-system-{m.arch}", *ACCELERATOR,
             "-M", m.machine or MACHINE[m.arch], "-cpu", m.cpu or CPU[m.arch],
             "-smp", str(m.smp), "-m", m.mem, "-nodefaults", "-nic", "none", "-no-reboot",
             "-display", "none", *EXIT_DEVICE[m.arch], *console]
    if m.icount:
        words += COUNTED
    words += shlex.split(m.words)
    if m.gdb:
        words += ["-s", "-S"]
    if m.boot == "grub":
        # GRUB talks to the screen's BIOS, so there has to be one.
        return words + ["-vga", "std", "-cdrom", str(grub_image(m, workspace))]
    words += ["-kernel", str(image(m.arch, m.kernel)), "-append", m.cmdline]
    if m.initramfs:
        words += ["-initrd", str(m.initramfs)]
    return words


def image(arch, kernel):
    """The file to boot, of a preset's folder or as it was given."""
    if kernel.is_dir():
        return kernel / ("tern.elf" if arch == "x86_64" else "Image")
    return kernel


def grub_image(machine, workspace):
    """A bootable CD with GRUB, the kernel and the initramfs."""
    tree = workspace / "iso"
    (tree / "boot/grub").mkdir(parents=True)
    shutil.copyfile(machine.kernel / "tern.elf", tree / "boot/tern.elf")
    cmdline = re.sub(r"([$;&|<>{}'\"\\#])", r"\\\1", machine.cmdline)
    lines = ["set timeout=0", "set default=0", "menuentry tern {",
             f"  multiboot2 /boot/tern.elf {cmdline}"]
    if machine.initramfs:
        shutil.copyfile(machine.initramfs, tree / "boot/initramfs")
        lines.append("  module2 /boot/initramfs initramfs")
    (tree / "boot/grub/grub.cfg").write_text("\n".join([*lines, "  boot", "}", ""]))
    image = workspace / "tern.iso"
    # Only the BIOS loader: half the size and a quarter of the time of an image for both.
    run_quietly(["grub-mkrescue", "-d", "/usr/lib/grub/i386-pc", "-o", image, tree],
                "making the GRUB image")
    return image


def status_of(arch, code):
    """The status that the guest gave to its exit device, from the emulator's own."""
    if arch == "x86_64":
        return code >> 1 if code & 1 else code  # the device answers (status << 1) | 1
    return code


def version(arch):
    result = subprocess.run([f"qemu-system-{arch}", "--version"], stdout=subprocess.PIPE, text=True,
                            check=True)
    return result.stdout.splitlines()[0]
