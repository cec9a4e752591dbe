"""The console between ./tern and a program in the guest: one line, several kinds of talk.

The guest has one serial console. With `console=framed` on its command line the kernel sends, out of
band, records in the form of an application program command (ECMA-48 section 8.3.2):

    ESC _ tern:KIND:TEXT ESC \\

    KIND   TEXT
    begin  empty: what comes from here on is the program's; what came before was firmware
    log    one line of the kernel log, without its newline
    panic  one line of the panic page; the status will be 125
    input  a number: so many bytes of input, counted from the start, may have been typed
    exit   the program's status in decimal: 0 to 255, or 128 + signal

A record is never split by program output. Everything else after `begin` is what the program wrote,
byte for byte: program 1 runs it with the console raw.

The other way, what stdin of ./tern gives is typed on the console. The guest allows it piece by
piece, as it reads, so that nothing is lost however fast stdin is; nothing is allowed before the first
read, when the console's mode is settled. Since a serial line has no end of file, byte 0x10 (DLE) is
an escape: DLE DLE is one byte 0x10, DLE `e` is the end of the input, after which reads of the
console return 0. Escapes are read, and `input` is told, only with `console=framed`.
"""

import fcntl
import os
import select
import struct
import sys
import termios
import time
import tty

from tern.common import STATUS_PANIC, STATUS_TIMEOUT, say

START = b"\033_tern:"
END = b"\033\\"
ESCAPE = b"\x10"
END_OF_INPUT = ESCAPE + b"e"
LONGEST_RECORD = 64 * 1024
# How long the emulator may take to stop once the guest has said its last word.
LAST_WORD_GRACE = 10.0


class Unframer:
    """Cuts the console's bytes into ("output", bytes) and (KIND, text) in their order."""

    def __init__(self):
        self.pending = b""

    def feed(self, data):
        self.pending += data
        while self.pending:
            start = self.pending.find(START)
            if start < 0:
                keep = self.could_begin()
                yield from self.output(len(self.pending) - keep)
                return
            yield from self.output(start)
            end = self.pending.find(END, len(START))
            if end < 0:
                if len(self.pending) > LONGEST_RECORD:
                    yield from self.output(len(START))
                    continue
                return
            record = self.pending[len(START):end]
            self.pending = self.pending[end + len(END):]
            kind, _, text = record.decode(errors="replace").partition(":")
            yield kind, text

    def output(self, count):
        if count:
            yield "output", self.pending[:count]
            self.pending = self.pending[count:]

    def could_begin(self):
        """How many bytes at the end may be the beginning of a record."""
        for length in range(min(len(START) - 1, len(self.pending)), 0, -1):
            if self.pending.endswith(START[:length]):
                return length
        return 0

    def rest(self):
        yield from self.output(len(self.pending))


class Listener:
    """Sorts what the guest says to stdout and stderr, and keeps what decides the status."""

    def __init__(self, verbose):
        self.verbose = verbose
        self.unframer = Unframer()
        self.begun = False
        self.heard = False
        self.panicked = False
        self.status = None
        self.permitted = 0
        self.stdout_closed = False

    def hear(self, data):
        self.heard = True
        for kind, content in self.unframer.feed(data):
            self.take(kind, content)

    def finish(self):
        for kind, content in self.unframer.rest():
            self.take(kind, content)

    def take(self, kind, content):
        if kind == "output":
            if self.begun:
                self.write(content)
            elif self.verbose:
                sys.stderr.buffer.write(content)
                sys.stderr.flush()
        elif kind == "begin":
            self.begun = True
        elif kind == "log":
            if self.verbose:
                self.tell(content)
        elif kind == "panic":
            self.panicked = True
            self.tell(content)
        elif kind == "input" and content.isdigit():
            self.permitted = int(content)
        elif kind == "exit" and content.isdigit():
            self.status = int(content)

    def write(self, data):
        if self.stdout_closed:
            return
        try:
            while data:
                data = data[os.write(1, data):]
        except BrokenPipeError:
            self.stdout_closed = True  # as `... | head` does it: the program runs on

    @staticmethod
    def tell(line):
        print(line, file=sys.stderr, flush=True)


class Typist:
    """Types stdin on the guest's console, as far as the guest allows."""

    def __init__(self, terminal):
        self.terminal = terminal  # Ctrl-A x quits
        self.waiting = b""  # read from stdin
        self.typed = 0  # bytes of it that went out
        self.wire = b""  # with escapes, on their way into the pipe
        self.prefix = False
        self.open = True
        self.end_typed = False
        self.quit = False
        try:
            os.fstat(0)
        except OSError:
            self.open = False

    def wants_input(self):
        return self.open and len(self.waiting) < 4096

    def read(self):
        data = os.read(0, 4096)
        self.open = bool(data)
        self.waiting += self.commands(data) if self.terminal else data

    def commands(self, data):
        out = bytearray()
        for byte in data:
            if self.prefix:
                self.prefix = False
                if byte in b"xX":
                    self.quit = True
                    break
                out.append(byte)  # Ctrl-A Ctrl-A is one Ctrl-A
            elif byte == 1:
                self.prefix = True
            else:
                out.append(byte)
        return bytes(out)

    def prepare(self, permitted):
        """True if there is something to put into the pipe."""
        if not self.wire and permitted:
            piece = self.waiting[:max(0, permitted - self.typed)]
            self.waiting = self.waiting[len(piece):]
            self.typed += len(piece)
            self.wire = piece.replace(ESCAPE, ESCAPE * 2)
            if not self.waiting and not self.open and not self.end_typed:
                self.wire += END_OF_INPUT
                self.end_typed = True
        return bool(self.wire)

    def write(self, into):
        try:
            self.wire = self.wire[os.write(into, self.wire):]
        except BrokenPipeError:
            self.wire = b""


def converse(process, timeout, verbose, raw):
    """Talks with the emulator until it ends; returns the listener, with the status decided."""
    listener = Listener(verbose)
    typist = Typist(raw)
    out, into = process.stdout.fileno(), process.stdin.fileno()
    os.set_blocking(into, False)
    deadline = time.monotonic() + timeout if timeout else None
    timed_out = False
    with raw_terminal() if raw else may_not_read_terminal(typist):
        while True:
            readable, writable, _ = select.select(
                [out] + ([0] if typist.wants_input() else []),
                [into] if typist.prepare(listener.permitted) else [], [],
                max(0.0, deadline - time.monotonic()) if deadline else None)
            if out in readable:
                data = os.read(out, 65536)
                if not data:
                    break
                listener.hear(data)
                if listener.panicked or listener.status is not None:
                    last = time.monotonic() + LAST_WORD_GRACE
                    deadline = min(deadline or last, last)
            if 0 in readable:
                typist.read()
            if into in writable:
                typist.write(into)
            if typist.quit or (deadline and time.monotonic() >= deadline):
                timed_out = not typist.quit
                process.kill()
                break
    listener.finish()
    if listener.panicked:
        listener.status = STATUS_PANIC
    elif timed_out and listener.status is None:
        listener.status = STATUS_TIMEOUT
        say(f"stopped after {timeout:g} s")
    return listener


class raw_terminal:
    """The terminal passes each key on at once; lines that come out still return to the margin."""

    def __enter__(self):
        self.saved = termios.tcgetattr(0)
        tty.setraw(0)
        attributes = termios.tcgetattr(0)
        attributes[tty.OFLAG] = self.saved[tty.OFLAG]
        termios.tcsetattr(0, termios.TCSANOW, attributes)

    def __exit__(self, *_):
        termios.tcsetattr(0, termios.TCSADRAIN, self.saved)


class may_not_read_terminal:
    """A call in the background of a terminal must not read it: it would be stopped."""

    def __init__(self, typist):
        if typist.open and os.isatty(0) and os.tcgetpgrp(0) != os.getpgrp():
            typist.open = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


def window_size():
    """ROWSxCOLS of the terminal, or nothing."""
    try:
        rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(1, termios.TIOCGWINSZ, bytes(8)))
    except OSError:
        return ""
    return f"{rows}x{columns}" if rows and columns else ""
