#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""usage: press.py bash|zsh SCRIPTS all|one LINE...
What an interactive shell with the completion in the directory SCRIPTS makes of each LINE when all that may
follow is asked for, or the one that is meant (Tab)."""
import os
import pty
import select
import sys
import tempfile

PATIENCE = 60  # seconds, of a loaded machine
RC = {
    "bash": """
source '{scripts}/tcpguard.bash'
dump() {{ printf '%s\\n' "$READLINE_LINE" >&{fd}; }}
bind -x '"\\C-x\\C-d": dump'
bind 'set completion-query-items 0'
PS1='ready>'
""",
    "zsh": """
fpath=('{scripts}' $fpath)
autoload -Uz compinit
compinit -u -D
zle -C all-matches complete-word _generic
zstyle ':completion:all-matches:*' insert yes
zstyle ':completion:all-matches::::' completer _all_matches _complete
dump() {{ print -r -- "$BUFFER" >&{fd} }}
zle -N dump
bindkey -e
bindkey '^[*' all-matches
bindkey '^X^D' dump
zle-line-init() {{ print -n 'ready>' }}
zle -N zle-line-init
PS1=
""",
}


def start(shell, scripts, home):
    """Returns the shell's terminal and what its dumps come out of."""
    reader, writer = os.pipe()
    name = os.path.join(home, ".zshrc" if shell == "zsh" else "bashrc")
    with open(name, "w", encoding="utf-8") as file:
        file.write(RC[shell].format(scripts=scripts, fd=9))
    command = {"bash": ["bash", "--noprofile", "--rcfile", name, "-i"], "zsh": ["zsh", "-d", "-i"]}[shell]
    child, terminal = pty.fork()
    if child == 0:
        os.dup2(writer, 9)
        os.environ.update(HOME=home, ZDOTDIR=home, TERM="dumb" if shell == "bash" else "vt100", INPUTRC="/dev/null")
        os.execvp(command[0], command)
    os.close(writer)
    return terminal, reader


def await_ready(terminal):
    """What is typed before the shell has the terminal as it wants it would mean something else."""
    text = b""
    while b"ready>" not in text:
        if not select.select([terminal], [], [], PATIENCE)[0]:
            sys.exit("the shell does not begin")
        text += os.read(terminal, 65536)


def answer(terminal, reader):
    """The next line of the dumps. What the shell shows meanwhile is not looked at."""
    text = b""
    while not text.endswith(b"\n"):
        ready = select.select([terminal, reader], [], [], PATIENCE)[0]
        if not ready:
            sys.exit("the shell does not answer")
        if terminal in ready:
            os.read(terminal, 65536)
        if reader in ready:
            text += os.read(reader, 65536)
    return text.decode()


def main():
    shell, scripts, how, *lines = sys.argv[1:]
    with tempfile.TemporaryDirectory() as home:
        terminal, reader = start(shell, scripts, home)
        await_ready(terminal)
        for line in lines:
            key = "\x1b*" if how == "all" else "\t"
            os.write(terminal, f"\x15{line}{key}\x18\x04".encode())
            sys.stdout.write(answer(terminal, reader))
        os.close(terminal)


main()
