"""The documentation's chapter "Usage". Needs the service BasicMath."""
import re

from msl.network import LinkedClient

from common import CONNECTION, client, link

cxn = client('MyClient')
bm = link(cxn, 'BasicMath')
assert bm.add(1, 2) == 3

identities = cxn.identities()
assert list(identities['services']) == ['BasicMath'], identities
assert str(cxn) in identities['clients'], (str(cxn), identities)

# The example's text, with what depends on the computer left open.
assert re.fullmatch(r'''Manager\[\S+:\d+\]
  attributes:
(    \w+\(.*\).*
)+  language: .+
  os: .+
Clients \[1\]:
  MyClient\[\S+:\d+\]
    language: Python .+
    os: .+
Services \[1\]:
  BasicMath\[\S+:\d+\]
    attributes:
      add\(x: Union\[int, float\], y: Union\[int, float\]\) -> Union\[int, float\]
      divide\(x: Union\[int, float\], y: Union\[int, float\]\) -> Union\[int, float\]
      ensure_positive\(x: Union\[int, float\]\) -> bool
      euler\(\) -> 2.718281828459045
      multiply\(x: Union\[int, float\], y: Union\[int, float\]\) -> Union\[int, float\]
      pi\(\) -> 3.141592653589793
      power\(x: Union\[int, float\], n=2\) -> Union\[int, float\]
      set_logging_level\(level: Union\[str, int\]\) -> bool
      subtract\(x: Union\[int, float\], y: Union\[int, float\]\) -> Union\[int, float\]
    language: Python .+
    max_clients: -1
    os: .+''', re.sub(r'(int \| float)', 'Union[int, float]', cxn.identities(as_string=True))), \
    cxn.identities(as_string=True)
cxn.disconnect()
assert not cxn.is_connected()

bm = LinkedClient('BasicMath', **CONNECTION)
assert bm.add(1, 2) == 3
bm.disconnect()
