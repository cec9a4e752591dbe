"""Several CPUs, counted: a machine that the host's load does not touch.

With -icount the emulator runs one CPU after the other in a single thread, each until the next timer of the whole machine:
milliseconds in which the others stand still. Here a timer that no guest sees, of a network filter without a network, ends each
turn after TURN microseconds; so four CPUs of a quarter of the speed run as good as together, and every figure repeats.

QEMU 7.2 takes the turn that begins when a timer is due for handling that timer, and the CPU whose turn it is does nothing:
of two neighbours that work the second could stand still for ever. So the CPUs used are every second one of twice as many,
and the idle ones between them lose those turns. RISC-V's device tree calls the others unusable, as their firmware waits for
each other without giving up a turn; on x86_64 and AArch64, where kernels say when they wait, programs are kept off them.
"""

import re
import subprocess

from tern import qemu
from tern.common import Failure

TURN = 5  # microseconds: how late a CPU may come to its turn is this, times the other CPUs


def words(arch, cpus, mem, workspace):
    """For the emulator, beside `-smp` with twice the CPUs."""
    found = ["-netdev", "hubport,id=turns,hubid=0", "-object", f"filter-buffer,id=turn,netdev=turns,interval={TURN}"]
    if arch == "riscv64":
        found += ["-dtb", str(device_tree(arch, cpus, mem, workspace / "turns.dtb"))]
    return found


def device_tree(arch, cpus, mem, target):
    """The machine's own, in which every second CPU is unusable."""
    subprocess.run([f"qemu-system-{arch}", "-M", f"{qemu.MACHINE[arch]},dumpdtb={target}", "-cpu", qemu.CPU[arch],
                    "-smp", str(2 * cpus), "-m", mem, "-nodefaults", "-display", "none"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    tree = bytearray(target.read_bytes())
    nodes = list(re.finditer(rb"\x01cpu@([0-9a-f]+)\0", bytes(tree)))  # after the end of the token that begins a node
    if len(nodes) != 2 * cpus:
        raise Failure(f"{qemu.version(arch)}: its device tree has not the CPUs that turns.py expects")
    for match in nodes:
        if int(match[1], 16) % 2:
            at = tree.index(b"okay\0", match.end())
            tree[at:at + 4] = b"fail"
    target.write_bytes(tree)
    return target


def append(key, arch):
    """For the command line of the kernel `key`: Linux on x86_64 starts a CPU without giving up turns meanwhile, so only those
    used are started, by command()."""
    return "maxcpus=1" if (key, arch) == ("linux", "x86_64") else ""


def command(arch, cpus, program):
    """The shell command that keeps a program on the CPUs used."""
    if cpus == 1 or arch == "riscv64":
        return program
    used = range(0, 2 * cpus, 2)
    start = "; ".join(f"echo 1 >/sys/devices/system/cpu/cpu{cpu}/online" for cpu in used[1:])
    return f"{{ {start}; }} 2>/dev/null; taskset {sum(1 << cpu for cpu in used):x} {program}"
