"""The documentation's asynchronous example. Needs the service BasicMath; takes about 6 seconds."""
import time

from common import client, link

cxn = client()
bm = link(cxn, 'BasicMath')
finished = []
t0 = time.perf_counter()
futures = {
    'add': bm.add(1, 2, asynchronous=True),
    'subtract': bm.subtract(1, 2, asynchronous=True),
    'multiply': bm.multiply(1, 2, asynchronous=True),
    'divide': bm.divide(1, 2, asynchronous=True),
    'ensure_positive': bm.ensure_positive(1, asynchronous=True),
    'power': bm.power(2, 4, asynchronous=True),
}
for name, future in futures.items():
    future.add_done_callback(lambda _, name=name: finished.append(name))
print(f'1+2= {futures["add"].result()}')
print(f'1-2= {futures["subtract"].result()}')
print(f'1*2= {futures["multiply"].result()}')
print(f'1/2= {futures["divide"].result()}')
print(f'is positive? {futures["ensure_positive"].result()}')
print(f'2**4= {futures["power"].result()}')
dt = time.perf_counter() - t0

# Requests that overlap take the time of the longest; one after the other they take the sum.
assert 6 <= dt < 1+2+3+4+5+6, f'{dt:.2f} seconds'
# They end a second apart: even a slow computer keeps the first before the last.
assert finished.index('add') < finished.index('power'), finished
cxn.disconnect()
