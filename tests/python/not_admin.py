"""Requests that need an administrator, from a client that is none.

The parameter `attempts` holds pairs of credentials and the texts that the refusal has to hold.
"""
from common import PARAMETERS, client, refusal_of

for credentials, expected in PARAMETERS['attempts']:
    cxn = client('curious', **credentials)
    refused = refusal_of(cxn.admin_request, 'users_table.usernames')
    for text in expected:
        assert text in refused, (credentials['username'], refused)
