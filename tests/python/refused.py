"""A client that the manager does not let in. Expects the error whose text is given as parameter."""
from common import PARAMETERS, client, error_of

error = error_of(client, **PARAMETERS['credentials'])
assert isinstance(error, ValueError), repr(error)
for text in PARAMETERS['expected']:
    assert text in str(error), repr(error)
