"""Ask who is there, whatever the others have said of themselves."""
from common import client

cxn = client(timeout=10)
assert 'services' in cxn.identities()
cxn.disconnect()
