"""Calls a service that answers every other call with garbage: the error's text is given as parameter."""
from common import PARAMETERS, client, error_of, link

cxn = client()
balance = link(cxn, 'Balance')
for number in range(PARAMETERS['calls']):
    error = error_of(balance.weigh, timeout=60)
    assert isinstance(error, RuntimeError), repr(error)
    assert PARAMETERS['expected'] in str(error), repr(error)
    result = balance.weigh(timeout=60)
    assert result == 'in time', repr(result)
cxn.disconnect()
