"""Reads what a chapter of the book says is to be typed on which computer, and compares what is printed with the page.

Comments that the book does not show say where, and what is done beside the chapter:

    <!-- on: COMPUTER USER, … -->    the blocks that follow are typed there, at each of these places
    <!-- on: nobody -->              the blocks that follow are not typed
    <!-- file: NAME -->              the next block is saved under this name
    <!-- trial: COMMAND -->          is typed there, too, and must succeed
    <!-- show: COMMAND -->           likewise, and what it prints is shown in the output of the trial
    <!-- until: COMMAND -->          is repeated there until it succeeds
    <!-- event: WORDS -->            something happens to the laboratory

A third word of a place is the name of a terminal: commands of different terminals are typed into different shells.
Comments of the form `<!-- run: … -->` are for the tests that type the chapter on one computer.
"""

import re

ANYTHING = '…'


def steps(text):
    """Returns the steps of a chapter as (kind, places, typed, shown) with kind = sh, console, keep, file, …"""
    found, places, file = [], [], None
    lines = iter(text.splitlines())
    for line in lines:
        comment = re.fullmatch(r'<!-- (on|file|trial|show|until|event): (.*) -->', line)
        if comment:
            kind, words = comment.groups()
            if kind == 'on':
                places = [] if words == 'nobody' else [tuple(place.split()) for place in words.split(', ')]
            elif kind == 'file':
                file = words
            else:
                found.append((kind, places, words, None))
        elif line.startswith('```'):
            info, block = line[3:], []
            for inner in lines:
                if inner == '```':
                    break
                block.append(inner)
            if file:
                found.append(('file', places, file, '\n'.join(block) + '\n'))
                file = None
            elif info in ('console', 'console,keep', 'sh') and places:
                kind = 'keep' if info.endswith('keep') else info
                found += [(kind, places, *command) for command in commands(block, '' if info == 'sh' else '$ ')]
    return found


def commands(block, prompt):
    """Returns the commands of a block with what is shown of their output."""
    found = []
    lines = iter(block)
    for line in lines:
        if prompt and not line.startswith(prompt):
            found[-1][1].append(line)
            continue
        command = line[len(prompt):]
        if not prompt and (not command or command.startswith('#')):
            continue
        word = re.search(r"<<'(\w+)'", command)
        while (word and not command.endswith('\n' + word[1])) or command.endswith('\\'):
            command += '\n' + next(lines)
        found.append((command, []))
    return found


def steady(line):
    """Returns a line without what differs from time to time and from computer to computer."""
    line = re.sub(r'\b(lab-pc|bench-1|bench-2|measure|office):\d+', 'HOST:0', line)
    line = re.sub(r'labwire \w+…\[', 'labwire …[', line)
    line = re.sub(r'/home/\w+/', '/home/USER/', line)
    line = re.sub(r'\b(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b', 'day', line)
    line = re.sub(r'\s+', ' ', re.sub(r'\d+(\.\d+)*', '0', line)).rstrip() + ' '
    for unit in ('ms', 'µs', 'min', 'h'):
        line = re.sub(rf'0 {unit}(?=[ ,);])', '0 s', line)
    return line.replace('0 s 0 s', '0 s').rstrip()


def is_line(shown, printed):
    """Tells whether a line is the one that the page shows, in which … stands for anything."""
    parts = [re.escape(part) for part in steady(shown).split(ANYTHING)]
    return re.fullmatch('.*'.join(parts), steady(printed)) is not None


def is_shape(shown, printed):
    """Tells whether the lines are those that the page shows, in which a line … stands for any number of lines."""
    if not shown:
        return not printed
    if shown[0].strip() == ANYTHING:
        return is_shape(shown[1:], printed) or bool(printed) and is_shape(shown, printed[1:])
    return bool(printed) and is_line(shown[0], printed[0]) and is_shape(shown[1:], printed[1:])


def begins_with_shape(shown, printed):
    """Tells whether the first lines have this shape."""
    return any(is_shape(shown, printed[:count]) for count in range(len(printed) + 1))
