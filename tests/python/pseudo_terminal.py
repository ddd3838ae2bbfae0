"""Run a command at a pseudo-terminal, as a person would: wait for each prompt for a secret, then type the answer.

The first argument is a JSON list of [prompt, answer], the others are the command. The answer of Ctrl-C (the character 3)
interrupts the command instead. What stands on the screen at the
end goes to standard output, and the command's exit code is the exit code.
"""
import json
import os
import pty
import signal
import sys
import termios
import time

INTERRUPT = '\x03'

dialogue, command = json.loads(sys.argv[1]), sys.argv[2:]
# A prompt that never comes ends the script instead of the test's patience.
signal.alarm(60)

process, terminal = pty.fork()
if process == 0:
    os.execv(command[0], command)


def read():
    """What was printed since, or nothing once the command has ended."""
    try:
        return os.read(terminal, 4096)
    except OSError:  # this is how Linux reports the end of a pseudo-terminal
        return b''


screen = b''
for prompt, answer in dialogue:
    seen = len(screen)
    while prompt.encode() not in screen[seen:]:
        text = read()
        assert text, f'never asked for {prompt!r}: {screen!r}'
        screen += text
    if answer == INTERRUPT:
        os.write(terminal, answer.encode())
        continue
    # Programs print the prompt first and hide what is typed a moment later, faster than a person types.
    while termios.tcgetattr(terminal)[3] & termios.ECHO:
        time.sleep(0.01)
    os.write(terminal, answer.encode() + b'\n')
while text := read():
    screen += text
sys.stdout.write(screen.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
