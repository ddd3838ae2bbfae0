"""Six slow calls at once to the service `basic_math`: about 6 seconds."""
import time

from msl.network import connect

from common import options

cxn = connect(name='asynchronous', **options())
bm = cxn.link('BasicMath')
t0 = time.perf_counter()
add = bm.add(1, 2, asynchronous=True)
subtract = bm.subtract(1, 2, asynchronous=True)
multiply = bm.multiply(1, 2, asynchronous=True)
divide = bm.divide(1, 2, asynchronous=True)
is_positive = bm.ensure_positive(1, asynchronous=True)
power = bm.power(2, 4, asynchronous=True)
print(f'1+2= {add.result():g}')
print(f'1-2= {subtract.result():g}')
print(f'1*2= {multiply.result():g}')
print(f'1/2= {divide.result():g}')
print(f'is positive? {is_positive.result()}')
print(f'2**4= {power.result():g}')
print(f'Total execution time: {time.perf_counter() - t0:.2f} seconds')
cxn.disconnect()
