"""A voltmeter that speaks SCPI over TCP: always 1.25 V.

usage: instrument.py PORT
"""

import socketserver
import sys


class Meter(socketserver.StreamRequestHandler):
    """One connection: answers queries."""

    def handle(self):
        for line in self.rfile:
            answer = {b'*IDN?': b'Trial,Meter,1,1.0', b'MEAS:VOLT?': b'1.25'}.get(line.strip())
            if answer is not None:
                self.wfile.write(answer + b'\n')


socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(('127.0.0.1', int(sys.argv[1])), Meter).serve_forever()
