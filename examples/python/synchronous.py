"""Six slow calls to the service `basic_math`, one after the other: about 21 seconds."""
import time

from msl.network import connect

from common import options

cxn = connect(name='synchronous', **options())
bm = cxn.link('BasicMath')
t0 = time.perf_counter()
add = bm.add(1, 2)
subtract = bm.subtract(1, 2)
multiply = bm.multiply(1, 2)
divide = bm.divide(1, 2)
is_positive = bm.ensure_positive(1)
power = bm.power(2, 4)
print(f'1+2= {add:g}')
print(f'1-2= {subtract:g}')
print(f'1*2= {multiply:g}')
print(f'1/2= {divide:g}')
print(f'is positive? {is_positive}')
print(f'2**4= {power:g}')
print(f'Total execution time: {time.perf_counter() - t0:.2f} seconds')
cxn.disconnect()
