"""A client that the manager lets in with the credentials given as parameter."""
from common import PARAMETERS, client

cxn = client('admitted', **PARAMETERS.get('credentials', {}))
assert str(cxn) in cxn.identities()['clients']
cxn.disconnect()
