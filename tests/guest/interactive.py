"""A person at the shell: everything goes through a pseudo-terminal, key by key."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

PROMPT = r"tern:\S*# "
STEP_TIMEOUT = 30
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>78]|\r")


class Terminal:
    """A child on a pseudo-terminal, what it has written, and keys to press."""

    def __init__(self, command, rows=40, columns=132):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvp(command[0], command)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.raw = ""
        self.mark = 0
        self.ended = False

    def pump(self, seconds):
        if not select.select([self.fd], [], [], seconds)[0]:
            return
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # the child has closed its side
            data = b""
        if data:
            self.raw += data.decode(errors="replace")
        else:
            self.ended = True

    def seen(self):
        """What came since the last expectation was met."""
        return ESCAPES.sub("", self.raw)[self.mark:]

    def expect(self, pattern, timeout=STEP_TIMEOUT):
        """Waits for a line or text that matches; raises with what came instead."""
        until = time.monotonic() + timeout
        while True:
            match = re.search(pattern, self.seen(), re.MULTILINE)
            if match:
                self.mark += match.end()
                return match
            if self.ended or time.monotonic() > until:
                raise AssertionError(f"waited for {pattern!r}, got:\n{self.seen()[-1500:]}")
            self.pump(0.2)

    def press(self, keys):
        os.write(self.fd, keys.encode())

    def line(self, text):
        """Types a line; waits for its echo, so that what follows is output."""
        self.press(text)
        self.expect(re.escape(text[-20:]))
        self.press("\r")

    def wait(self, timeout=STEP_TIMEOUT):
        until = time.monotonic() + timeout
        while not self.ended and time.monotonic() < until:
            self.pump(0.2)
        while time.monotonic() < until:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.05)
        raise AssertionError("it did not end")

    def close(self):
        os.close(self.fd)
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)
            os.waitpid(self.pid, 0)


def line_editing(t):
    t.press("echo abX\x7fd")         # the erase key
    t.press("\x1b[D\x1b[Dc\x1b[C")   # left twice: echo acbd
    t.press("\x1b[H\x1b[F-end\r")    # home, end
    t.expect(r"^acbd-end$")
    t.expect(PROMPT)
    t.press("echo lost\x15echo kept\r")  # Ctrl-U
    t.expect(r"^kept$")
    t.expect(PROMPT)


def history(t):
    t.press("\x1b[A\r")              # the line before, again
    t.expect(r"^kept$")
    t.expect(PROMPT)


def completion(t):
    t.press("ls -d /pro\t\r")
    t.expect(r"^/proc/?$")
    t.expect(PROMPT)


def pipeline_of_four(t):
    t.line("printf 'c\\na\\nd\\nb\\n' | sort | tail -n 2 | head -n 1 | tr c X")
    t.expect(r"^X$")
    t.expect(PROMPT)


def interrupt_of_a_loop(t):
    t.line("echo ready; while :; do :; done")
    t.expect(r"^ready$")
    t.press("\x03")
    t.expect(PROMPT)
    t.line("echo status $?")
    t.expect(r"^status 130$")
    t.expect(PROMPT)


def interrupt_of_a_program(t):
    t.line("(echo ready; sleep 1000) | cat")
    t.expect(r"^ready$")
    t.press("\x03")
    t.expect(PROMPT)
    t.line("echo status $?")
    t.expect(r"^status 130$")
    t.expect(PROMPT)


def stop_and_foreground(t):
    t.line("sh -c 'echo ready; cat; echo never'")
    t.expect(r"^ready$")
    t.press("\x1a")
    t.expect(r"Stopped")
    t.expect(PROMPT)
    t.line("jobs")
    t.expect(r"\[1\]\+? *\+? *Stopped +sh -c")
    t.expect(PROMPT)
    t.line("fg")
    t.expect(r"^sh -c .*$")
    t.press("typed\r")               # cat answers once it is in the foreground
    t.expect(r"^typed\n(typed)$")
    t.press("\x03")
    t.expect(PROMPT)
    t.line("jobs; echo none left")
    t.expect(r"^none left$")
    t.expect(PROMPT)


def background(t):
    t.line("sleep 1000 & echo started")
    t.expect(r"^started$")
    t.expect(PROMPT)
    t.line("kill %1; wait; echo over")
    t.expect(r"^over$")
    t.expect(PROMPT)


def end_of_file(t):
    t.line("echo ready; cat; echo after cat")
    t.expect(r"^ready$")
    t.press("typed\r")
    t.expect(r"^typed\n(typed)$")
    t.press("\x04")
    t.expect(r"^after cat$")
    t.expect(PROMPT)


def canonical_erase(t):
    t.line("echo ready; read x; echo \"<$x>\"")
    t.expect(r"^ready$")
    t.press("abc\x7f\x7fz\r")
    t.expect(r"^<az>$")
    t.expect(PROMPT)


def window_size(t):
    t.line("stty size")
    t.expect(r"^40 132$")
    t.expect(PROMPT)


def raw_mode(t):
    t.line("stty raw -echo; echo ready; dd bs=1 count=3 2>/dev/null | od -c; stty sane")
    t.expect(r"ready$")
    t.press("a\x03\r")
    t.expect(r"a 003  +\\r")
    t.press("\r")
    t.expect(PROMPT)


def job_control_of_full_screen(t):
    t.line("seq 1 200 >/tmp/lines; vi /tmp/lines")
    t.expect(r"lines")
    t.press(":3d\r:wq\r")
    t.expect(PROMPT)
    t.line("sed -n 3p /tmp/lines")
    t.expect(r"^4$")
    t.expect(PROMPT)


STEPS = (line_editing, history, completion, pipeline_of_four, interrupt_of_a_loop,
         interrupt_of_a_program, stop_and_foreground, background, end_of_file, canonical_erase,
         window_size, raw_mode, job_control_of_full_screen)


def run(target, tap, group):
    """All steps in one session; the last ends it."""
    if not tap.matching(group, [step.__name__ for step in STEPS] + ["exit"]):
        return
    session(tap, [*target.words(), "--timeout", "600"], boots=True)


def session(tap, command, boots):
    terminal = Terminal(command)
    try:
        terminal.expect(PROMPT, 120)
        for step in STEPS:
            try:
                step(terminal)
                tap.result(step.__name__.replace("_", " "), True)
            except AssertionError as error:
                tap.result(step.__name__.replace("_", " "), False, error)
                terminal.press("\x03\r")
                terminal.expect(PROMPT)
        terminal.press("exit 7\r")
        tap.equal("exit ends with its status", terminal.wait(), 7)
    except AssertionError as error:
        tap.result("the session goes on", False, error)
    finally:
        terminal.close()
    if boots:
        leave_emulator(tap, command)


def leave_emulator(tap, command):
    terminal = Terminal(command)
    try:
        terminal.expect(PROMPT, 120)
        terminal.press("\x01x")
        terminal.wait()
        tap.result("Ctrl-A x leaves the emulator", True)
    except AssertionError as error:
        tap.result("Ctrl-A x leaves the emulator", False, error)
    finally:
        terminal.close()
