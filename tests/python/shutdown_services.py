"""The documentation's example of run_services: a client calls two services, then ends them."""
from common import client, error_of

cxn = client()
a = cxn.link('AddService')
s = cxn.link('SubtractService')
assert a.add(1, 2) == 3
assert s.subtract(1, 2) == -1
assert a.shutdown_service() is True
# The other one, and the manager with it, goes on.
assert 'no attribute' in str(error_of(s.nothing))
assert s.subtract(5, 2) == 3
assert s.shutdown_service() == 'Success!'
print('done')
