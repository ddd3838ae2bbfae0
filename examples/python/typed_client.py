"""The arrays of the service `my_array`, from Python."""
from msl.network import LinkedClient

from common import options

arrays = LinkedClient('MyArray', **options())
numbers = arrays.linspace(0, 1, n=5)
print(numbers)
print(arrays.scalar_multiply(10, numbers))
arrays.disconnect()
