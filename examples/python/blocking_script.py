"""Link with the multimeter, measure, print."""
from msl.network import LinkedClient

from common import options

multimeter = LinkedClient('Hewlett Packard 34401A', **options())
print(multimeter.query('*IDN?'))
for _ in range(3):
    print(f'{multimeter.voltage():.7f} V')
multimeter.disconnect()
