"""A name server for one test: it knows a few addresses of a range that no computer has, and is slow about others.

It needs nothing but Python itself. It answers on 127.0.0.1, port 53, in the network of its own that the test made.
"""
import socket
import struct
import threading

# Seconds until it tells a name that nobody should wait for.
SLOW = 3

NAMES = {
    '127.0.0.1': 'localhost',
    # Its owner would like to pass for the manager's own computer, and has the name server lie for it.
    '203.0.113.9': 'localhost.evil.example',
    '203.0.113.8': 'pc.lab.example',
    # Says that it is the one above, which does not lead back.
    '203.0.113.7': 'pc.lab.example',
}
ADDRESSES = {'localhost.evil.example': '203.0.113.9', 'localhost': '203.0.113.9', 'pc.lab.example': '203.0.113.8'}

POINTER, ADDRESS = 12, 1
NO_SUCH_NAME = 3


def encoded(name):
    return b''.join(bytes([len(label)]) + label.encode() for label in name.split('.')) + b'\0'


def question_of(query):
    """The name and the type that a query asks for, and where the question ends."""
    labels, position = [], 12
    while query[position]:
        end = position + 1 + query[position]
        labels.append(query[position + 1:end].decode())
        position = end
    kind, = struct.unpack_from('!H', query, position + 1)
    return '.'.join(labels).lower(), kind, position + 5


def answer_to(query):
    """The answer to a query, and after how many seconds it is given."""
    name, kind, end = question_of(query)
    data, delay = None, 0
    if kind == POINTER:
        address = '.'.join(reversed(name.split('.')[:4]))
        if address not in NAMES:
            delay = SLOW
        data = encoded(NAMES.get(address, 'slow.example'))
    elif kind == ADDRESS and name in ADDRESSES:
        data = socket.inet_aton(ADDRESSES[name])
    known = data is not None or name in ADDRESSES
    flags = 0x8180 if known else 0x8180 | NO_SUCH_NAME
    records = b''
    if data is not None:
        # The name is that of the question, which stands at byte 12.
        records = struct.pack('!HHHIH', 0xc00c, kind, 1, 0, len(data)) + data
    header = query[:2] + struct.pack('!HHHHH', flags, 1, 1 if records else 0, 0, 0)
    return header + query[12:end] + records, delay


server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(('127.0.0.1', 53))
print('ready', flush=True)
while True:
    query, asker = server.recvfrom(4096)
    answer, delay = answer_to(query)
    threading.Timer(delay, server.sendto, (answer, asker)).start()
