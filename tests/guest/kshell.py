"""A person at the kernel's own shell (kshell on the command line), through a pseudo-terminal."""

import re

from interactive import STEP_TIMEOUT, Terminal

PROMPT = r"tern# $"
COMMANDS = ("help", "exit", "echo", "clear", "ps", "mem", "uptime", "uname", "set", "history",
            "bench", "stats", "cat", "run", "version", "demo")
HOME, END, LEFT, RIGHT, UP, DOWN = ("\x1b[H", "\x1b[F", "\x1b[D", "\x1b[C", "\x1b[A", "\x1b[B")
WORD_LEFT, WORD_RIGHT, DELETE = "\x1b[1;5D", "\x1b[1;5C", "\x1b[3~"


def command(t, line, pattern=None, timeout=STEP_TIMEOUT):
    """Types a line and waits for what it shows, and for the next prompt."""
    t.line(line)
    match = t.expect(pattern, timeout) if pattern else None
    t.expect(PROMPT, timeout)
    return match


def every_command_has_its_help(t):
    t.line("help")
    for name in sorted(COMMANDS):
        t.expect(rf"^  {name} ")
    t.expect(PROMPT)
    command(t, "help cat", r"^  cat +FILE")
    command(t, "help nothing", r"^help: there is no command nothing$")


def echo_and_variables(t):
    command(t, "echo one  'two  three' \"four\"", r"^one two  three four$")
    command(t, "set bird=tern", None)
    command(t, "echo $bird '$bird' \"${bird}s\" \\$bird $nothing.", r"^tern \$bird terns \$bird \.$")
    command(t, "set bird", r"^bird=tern$")
    command(t, "set", r"^PATH=/bin:")
    command(t, "set nothing", r"^set: nothing is not set$")


def figures_are_those_of_proc(t):
    total = command(t, "cat /proc/meminfo", r"MemTotal: +(\d+) kB")[1]
    command(t, "mem", rf"^  total +{total} KiB")
    command(t, "mem", r"^  zone \S+ +node 0 ")
    command(t, "ps", r"^ +1 +0 R .* init$")
    command(t, "ps -k", r"^ +\d+ +0 S .* console$")
    command(t, "uptime", r"^up 0:\d\d:\d\d\.\d\d, \d+ threads, \d+ running, load 0")
    command(t, "stats", r"^scheduler \w+, \d+ switches, \d+ forks")
    command(t, "stats", r"^  0 +\d+% +\d+% +\d+% ")


def names(t):
    command(t, "uname", r"^Linux$")
    machine = command(t, "run uname -m", r"^(\w+)\n\[status 0\]$")[1]
    command(t, "uname -a", rf"^Linux tern \S+ .* {machine} Tern$")
    command(t, "version", r"^#1 .* (release|debug) build for ")


def cat_reads_any_file(t):
    command(t, "cat /etc/hostname /proc/sys/kernel/ostype", r"^tern\nLinux$")
    command(t, "cat /sys/kernel/init", r"kshell +running")
    command(t, "cat /nix", r"^cat: /nix: no such file")
    command(t, "cat /etc", r"^cat: /etc: is a directory")
    command(t, "cat", r"^usage: cat FILE")
    t.line("cat /dev/zero")
    t.pump(1)
    t.press("\x03")
    t.expect(r"\^C\n")
    t.expect(PROMPT)


def programs_run(t):
    command(t, "run /bin/busybox ls /etc/hostname", r"^/etc/hostname\n\[status 0\]$")
    command(t, "run sh -c 'exit 7'", r"^\[status 7\]$")
    command(t, "echo $?", r"^7$")
    command(t, "run sh -c 'kill -9 $$'", r"^\[killed by signal 9\]$")
    command(t, "run sh -c 'echo $bird; tty; test -t 0 && echo terminal'",
            r"^tern\n/dev/\w+\nterminal\n\[status 0\]$")
    command(t, "run /nix", r"^run: /nix: no such file")
    command(t, "run nix", r"^run: nix: no such file")
    command(t, "run /etc/hostname", r"^run: /etc/hostname: ")
    command(t, "echo $?", r"^126$")


def a_program_owns_the_terminal(t):
    t.line("run sh -c 'echo ready; cat'")
    t.expect(r"^ready$")
    t.press("typed\r")
    t.expect(r"^typed\n(typed)$")
    t.press("\x03")
    t.expect(r"\[killed by signal 2\]$")
    t.expect(PROMPT)
    t.line("run sh -c 'echo ready; stty raw -echo; read x'")
    t.expect(r"^ready$")
    t.press("x\r")
    t.press("\n")
    t.expect(r"\[status \d+\]$")
    t.expect(PROMPT)
    command(t, "echo sane again", r"^sane again$")


def a_crash_is_one_line(t):
    command(t, "run sh -c 'kill -SEGV $$'", r"^\[killed by signal 11\]$")
    command(t, "run sh -c 'setsid sleep 1000 & sleep 1; exit 3'", r"^\[status 3\]$")
    command(t, "ps", r"sleep$")  # an orphan of the shell's, which is process 1
    command(t, "run killall sleep", r"^\[status 0\]$")


def editing(t):
    t.press("echo abX\x7fd")
    t.press(LEFT + LEFT + "c" + RIGHT + "\r")
    t.expect(r"^acbd$")
    t.expect(PROMPT)
    t.press("cho middle end" + HOME + "e" + END + "!" + "\r")
    t.expect(r"^middle end!$")
    t.expect(PROMPT)
    t.press("echo one two three" + WORD_LEFT + WORD_LEFT + "X" + WORD_RIGHT + "Y\r")
    t.expect(r"^one XtwoY three$")
    t.expect(PROMPT)
    t.press("echo lost\x15echo kept gone\x17\x7f\r")      # Ctrl-U, Ctrl-W, Backspace
    t.expect(r"^kept$")
    t.expect(PROMPT)
    t.press("echo ab cd" + LEFT + LEFT + "\x0b" + "\x19\x19" + LEFT + DELETE + "\r")  # Ctrl-K, Ctrl-Y
    t.expect(r"^ab cdc$")
    t.expect(PROMPT)
    t.press("echo dropped\x03")
    t.expect(r"\^C\n")
    t.expect(PROMPT)


def history_goes_up_and_down(t):
    command(t, "echo first", r"^first$")
    command(t, "echo second", r"^second$")
    t.press(UP + UP + "\r")
    t.expect(r"^first$")
    t.expect(PROMPT)
    t.press("echo new" + UP + UP + DOWN + DOWN + "er\r")
    t.expect(r"^newer$")
    t.expect(PROMPT)
    command(t, "history", r"^ +\d+  echo second$")


def completion(t):
    t.press("vers\t\r")
    t.expect(r"release|debug")
    t.expect(PROMPT)
    t.press("cat /proc/upt\t\r")
    t.expect(r"^\d+\.\d+ \d+\.\d+$")
    t.expect(PROMPT)
    t.press("run busyb\techo found\r")
    t.expect(r"^found$")
    t.expect(PROMPT)
    t.press("cat /etc/ho\t\t")
    t.expect(r"^hostname +hosts|^hosts +hostname")
    t.press("n\t\r")
    t.expect(r"^tern$")
    t.expect(PROMPT)


def nonsense_is_one_line(t):
    command(t, "frobnicate now", r"^frobnicate: unknown command; help lists them")
    command(t, "echo 'open", r"^kshell: a quote is not closed$")
    command(t, "echo " + "x " * 80, r"^kshell: too many words$")
    command(t, "exit 256", r"^usage: exit")
    command(t, "ps -z", r"^usage: ps")
    command(t, "# only a comment")
    t.press("echo " + "y" * 1500 + "\r")
    t.expect(r"^kshell: a line has at most 1023 bytes$")
    t.expect(PROMPT)
    long = "z" * 400
    t.press(f"echo {long}\r")  # wider than the screen
    t.expect(rf"^{long}$")
    t.expect(PROMPT)


def measurements(t):
    command(t, "bench", r"^  mutex +taking")
    first = command(t, "bench mutex", r"^  mutex +(\d+)\.\d ns")
    assert 0 < int(first[1]) < 100000
    command(t, "bench switch", r"^  switch +\d+\.\d ns  from one thread", 60)
    command(t, "bench nothing", r"^bench: there is no nothing")
    t.line("demo")
    t.expect(r"^(\d+) threads compute for 1 s on \d+ CPUs?", 60)
    t.expect(r"^  thread 2 +\d+% of the work, on CPU \d", 60)
    t.expect(PROMPT, 60)


STEPS = (every_command_has_its_help, echo_and_variables, figures_are_those_of_proc, names,
         cat_reads_any_file, programs_run, a_program_owns_the_terminal, a_crash_is_one_line,
         editing, history_goes_up_and_down, completion, nonsense_is_one_line, measurements)


def run(target, tap, group):
    """All steps in one session; then a machine without any program, and one that nobody attends."""
    wanted = tap.matching(group, [step.__name__ for step in STEPS] + ["kshell"])
    if tap.matching(group, ["profile"]):
        profiles(target, tap)
    if wanted:
        session(target, tap)
        no_program(target, tap)
        scripted(target, tap)


def session(target, tap):
    terminal = Terminal([*target.words(), "--append", "kshell quiet", "--timeout", "600"])
    try:
        terminal.expect(r"Tern kernel shell", 120)
        terminal.expect(PROMPT)
        for step in STEPS:
            try:
                step(terminal)
                tap.result("kshell: " + step.__name__.replace("_", " "), True)
            except AssertionError as error:
                tap.result("kshell: " + step.__name__.replace("_", " "), False, error)
                terminal.press("\x03\r")
                terminal.expect(PROMPT)
        terminal.press("clear\rexit 5\r")
        tap.equal("kshell: exit ends with its status", terminal.wait(), 5)
    except AssertionError as error:
        tap.result("kshell: the session goes on", False, error)
    finally:
        terminal.close()


def no_program(target, tap):
    """There is no /init: the shell says why it is there."""
    terminal = Terminal([*target.words(), "--append", "init=/nix", "--timeout", "120"])
    try:
        terminal.expect(r"no program 1 found", 120)
        terminal.expect(PROMPT)
        command(terminal, "cat /proc/version", r"^Linux version")
        terminal.press("\x04")
        tap.equal("kshell: it is there when no program can be started", terminal.wait(), 0)
    except AssertionError as error:
        tap.result("kshell: it is there when no program can be started", False, error)
    finally:
        terminal.close()


def scripted(target, tap):
    """Without a terminal it reads commands like any other program; the end of input is its end."""
    p = target.run(["unused"], ["--append", "kshell"], stdin=b"echo $HOME\nrun sh -c 'exit 4'\n"
                                                             b"echo $?\n")
    said = p.stdout.decode(errors="replace").replace("\r", "")
    tap.result("kshell: commands from a pipe", p.returncode == 0
               and re.search(r"^/$", said, re.M) and re.search(r"^4$", said, re.M), said[-1500:])


def profiles(target, tap):
    """A profile is what the command line did not say."""
    for words, wanted in (("profile=minimal", "frames by bitmap, profile minimal\n64"),
                          ("profile=minimal pmm=hybrid", "frames by hybrid, profile minimal\n64"),
                          ("profile=server", "frames by hybrid, profile server\n65536"),
                          ("profile=nonsense", "frames by buddy, profile -\n1024")):
        p = target.run(["unused"], ["--append", f"kshell {words}"],
                       stdin=b"version\nrun sh -c 'ulimit -n'\n")
        said = p.stdout.decode(errors="replace").replace("\r", "")
        said = re.sub(r"tern# (?:run .*)?\n?", "", said)
        tap.result(f"{words}", p.returncode == 0 and wanted in said, f"{wanted!r} is not in\n{said[-1500:]}")
