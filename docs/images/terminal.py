"""Runs the commands of a file in a terminal, and writes what the terminal shows as an image (SVG).

    terminal.py SESSION IMAGE [COLUMNS]

Each line of the session is one of:

    $ COMMAND           typed at a prompt, and run to its end
    ! COMMAND           run in the background by a shell, before the others; nothing of it is shown
    @ SECONDS COMMAND   a program that uses the whole screen: shown as it is after this time, then ended
"""
import fcntl
import html
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unicodedata

ROWS = 14
DEADLINE = 60
COLOURS = {
    0: '#1c2733', 1: '#e06c75', 2: '#7fc37f', 3: '#d7ba5a', 4: '#7cb9e8', 5: '#c88fd6', 6: '#62c4c3', 7: '#dfe6ec',
    8: '#7d8b98', 9: '#ff8b93', 10: '#a0dfa0', 11: '#f2d97c', 12: '#a3d1f5', 13: '#dcaee6', 14: '#8be0df', 15: '#ffffff',
}
CONTROL = re.compile(r'\x1b\[([?>]?)([0-9;]*)([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()].|\x1b[=>78]')


class Screen:
    """A terminal as far as the program uses it: colours, moving the cursor, and clearing."""

    def __init__(self, columns):
        self.columns = columns
        self.lines = [[]]
        self.row = self.column = 0
        self.style = (None, False, False)

    def write(self, text):
        position = 0
        while position < len(text):
            if text[position] == '\x1b':
                control = CONTROL.match(text, position)
                if control:
                    self.control(control)
                    position = control.end()
                    continue
            self.character(text[position])
            position += 1

    def character(self, character):
        if character == '\r':
            self.column = 0
        elif character == '\n':
            self.row += 1
        elif character == '\b':
            self.column = max(0, self.column - 1)
        elif character >= ' ' and not unicodedata.combining(character):
            if self.column >= self.columns:
                self.row, self.column = self.row + 1, 0
            while len(self.lines) <= self.row:
                self.lines.append([])
            line = self.lines[self.row]
            while len(line) <= self.column:
                line.append((' ', (None, False, False)))
            line[self.column] = (character, self.style)
            self.column += 1

    def control(self, control):
        private, numbers, kind = control.group(1), control.group(2), control.group(3)
        values = [int(number or 0) for number in (numbers or '').split(';')]
        first = values[0]
        if private or kind is None:
            return
        if kind == 'm':
            self.colour(values)
        elif kind in 'Hf':
            self.row = max(first, 1) - 1
            self.column = max(values[1] if len(values) > 1 else 1, 1) - 1
        elif kind == 'A':
            self.row = max(0, self.row - max(first, 1))
        elif kind == 'B':
            self.row += max(first, 1)
        elif kind == 'C':
            self.column += max(first, 1)
        elif kind == 'D':
            self.column = max(0, self.column - max(first, 1))
        elif kind == 'G':
            self.column = max(first, 1) - 1
        elif kind == 'K' and self.row < len(self.lines):
            del self.lines[self.row][0 if first == 2 else self.column:]
        elif kind == 'J':
            if first >= 2:
                self.lines = [[]]
            else:
                del self.lines[self.row + 1:]
                if self.row < len(self.lines):
                    del self.lines[self.row][self.column:]

    def colour(self, values):
        colour, bold, reverse = self.style
        values = iter(values)
        for value in values:
            if value == 0:
                colour, bold, reverse = None, False, False
            elif value == 1:
                bold = True
            elif value == 2:
                colour = COLOURS[8]
            elif value == 22:
                bold = False
            elif value == 7:
                reverse = True
            elif value == 27:
                reverse = False
            elif 30 <= value <= 37:
                colour = COLOURS[value - 30]
            elif 90 <= value <= 97:
                colour = COLOURS[value - 82]
            elif value == 39:
                colour = None
            elif value in (38, 48):
                if next(values, 0) == 5:
                    number = next(values, 7)
                    colour = COLOURS.get(number, COLOURS[7]) if value == 38 else colour
                else:
                    rgb = [next(values, 0) for _ in range(3)]
                    colour = '#%02x%02x%02x' % tuple(rgb) if value == 38 else colour
        self.style = (colour, bold, reverse)

    def svg(self, title):
        lines = [line for line in self.lines]
        while lines and not any(character.strip() for character, _ in lines[-1]):
            lines.pop()
        width, step, margin = 8.43, 19, 16
        right = round(self.columns * width + 2 * margin)
        bottom = len(lines) * step + 2 * margin + 22
        out = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {right} {bottom}" fill="#dfe6ec" role="img" '
            f'aria-label="{html.escape(title)}">',
            '<style>text{font:14px "DejaVu Sans Mono",Menlo,Consolas,monospace;white-space:pre}</style>',
            f'<rect width="{right}" height="{bottom}" rx="8" fill="#1c2733"/>',
        ]
        for number, colour in enumerate(('#e06c75', '#d7ba5a', '#7fc37f')):
            out.append(f'<circle cx="{20 + 18 * number}" cy="18" r="5.5" fill="{colour}"/>')
        for row, line in enumerate(lines):
            y = 22 + margin + (row + 1) * step - 5
            start = 0
            while start < len(line):
                style, end = line[start][1], start
                while end < len(line) and line[end][1] == style:
                    end += 1
                text = ''.join(character for character, _ in line[start:end])
                colour, bold, reverse = style
                x, length = margin + start * width, len(text) * width
                if reverse:
                    out.append(f'<rect x="{x:.1f}" y="{y - 14}" width="{length:.1f}" height="{step}" '
                               f'fill="{colour or "#dfe6ec"}"/>')
                    colour = '#1c2733'
                if text.strip():
                    # Not all programs keep blanks at the beginning.
                    blanks = len(text) - len(text.lstrip())
                    x, length, text = x + blanks * width, length - blanks * width, text.lstrip()
                    shown = html.escape(text).replace(' ', '\xa0')
                    look = (f' fill="{colour}"' if colour else '') + (' font-weight="bold"' if bold else '')
                    out.append(f'<text x="{x:.1f}" y="{y}" textLength="{length:.1f}"{look}>{shown}</text>')
                start = end
        return '\n'.join(out) + '\n</svg>\n'


def run(command, screen, seconds=None):
    """Runs a command in a terminal. Ends it after some seconds, if they are given."""
    process, terminal = pty.fork()
    if process == 0:
        os.execvpe('bash', ['bash', '-c', command], dict(os.environ, TERM='xterm-256color'))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', ROWS, screen.columns, 0, 0))
    end = time.monotonic() + (seconds or DEADLINE)
    rest = b''
    while time.monotonic() < end:
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            rest += os.read(terminal, 65536)
        except OSError:
            break
        if not rest:
            break
        text = rest.decode(errors='ignore')
        rest = b''
        screen.write(text)
    os.kill(process, signal.SIGKILL if seconds else signal.SIGHUP)
    os.waitpid(process, 0)
    os.close(terminal)


def main():
    session, image = sys.argv[1:3]
    screen = Screen(int(sys.argv[3]) if len(sys.argv) > 3 else 100)
    title = []
    with open(session, encoding='utf-8') as lines:
        for line in lines.read().splitlines():
            kind, _, command = line.partition(' ')
            if kind == '!':
                subprocess.run(['bash', '-c', command], check=True, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            elif kind == '$':
                title.append(command)
                screen.column = 0
                screen.write(f'\x1b[92m$\x1b[0m \x1b[1m{command}\x1b[0m\r\n')
                run(command, screen)
            elif kind == '@':
                seconds, _, command = command.partition(' ')
                title.append(command)
                run(command, screen, float(seconds))
    with open(image, 'w', encoding='utf-8') as file:
        file.write(screen.svg('A terminal: ' + '; '.join(title)))


main()
