"""Which locks the operations of memory take, counted by a debug kernel with four CPUs."""

from tern.bench import guest, locks

# Faults: {operation: how often it may take a lock of the machine's}. That is a zone's, for sixteen
# frames at a time, both when they are taken and when they come back.
FAULTS = {"fault_anon_write": 2 / 16, "fault_anon_read": 0, "fault_file": 0, "fault_cow": 4 / 16,
          "faults_one_space": 2 / 16, "faults_many_spaces": 2 / 16}
APART = ("mmap_many_spaces",)
NOISE = 0.06  # ticks, the loop's own mmap, threads that come and go


def run(target, tap, group):
    names = tap.matching(group, [*FAULTS, *APART])
    if not names:
        return
    counted = locks.count(guest.Tern(target.arch, target.preset), names, target.smp)
    for name in names:
        found = counted[name]
        if name in FAULTS:
            taken = found["region"][0]
            tap.result(f"{name}: only its region's lock", found["address space"][0] < NOISE
                       and found["machine"][0] < FAULTS[name] + NOISE and taken > 0.05, found)
        waited = {scope: cell[1] for scope, cell in found.items() if scope != "CPU"}
        tap.result(f"{name}: nobody waits", max(waited.values()) < NOISE, found)
