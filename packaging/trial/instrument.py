"""A voltmeter that speaks SCPI over TCP: always 1.25 V.

usage: instrument.py PORT
       instrument.py PORT ADDRESS FILE    with the answers of a file such as examples/instruments/multimeter.sim
"""

import fnmatch
import socketserver
import sys

ANSWERS = [('*IDN?', 'Trial,Meter,1,1.0'), ('MEAS:VOLT?', '1.25')]


class Meter(socketserver.StreamRequestHandler):
    """One connection: answers queries."""

    def handle(self):
        for line in self.rfile:
            command = line.decode().strip()
            for pattern, answer in ANSWERS:
                if command == pattern or fnmatch.fnmatchcase(command, pattern):
                    if answer:
                        self.wfile.write(answer.encode() + b'\n')
                    break


port, address = int(sys.argv[1]), '127.0.0.1'
if len(sys.argv) > 2:
    address = sys.argv[2]
    with open(sys.argv[3]) as lines:
        pairs = [line.partition('=>') for line in lines if '=>' in line and not line.startswith('#')]
    ANSWERS = [(command.strip(), answer.strip()) for command, _, answer in pairs]
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer((address, port), Meter).serve_forever()
