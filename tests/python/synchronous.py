"""The documentation's synchronous example. Needs the service BasicMath; takes about 21 seconds."""
import time

from common import client, link

cxn = client()
bm = link(cxn, 'BasicMath')
t0 = time.perf_counter()
add = bm.add(1, 2)
subtract = bm.subtract(1, 2)
multiply = bm.multiply(1, 2)
divide = bm.divide(1, 2)
is_positive = bm.ensure_positive(1)
power = bm.power(2, 4)
dt = time.perf_counter() - t0
print(f'1+2= {add}')
print(f'1-2= {subtract}')
print(f'1*2= {multiply}')
print(f'1/2= {divide}')
print(f'is positive? {is_positive}')
print(f'2**4= {power}')
assert dt >= 1+2+3+4+5+6, f'the requests overlapped: {dt:.2f} seconds'
cxn.disconnect()
