"""How a script logs in whose user has a second factor: with the password and a code in one text.

The parameters are the texts `good`, `recovery` and `unused` for ada, whose codes are right and not used yet, and the
secret `token` of ada. Another user, bob, has no second factor.
"""
from common import CONNECTION, PARAMETERS, client, error_of
from msl.network import connect


def refused(password, username='ada'):
    """Whatever is wrong, everybody is told the same."""
    error = str(error_of(connect, **{**CONNECTION, 'username': username, 'password': password}))
    assert 'Unregistered user or Wrong login password' in error, (password, error)


good, recovery = PARAMETERS['good'], PARAMETERS['recovery']
refused('x')
refused(good[1:])
refused('y' + good[1:])
ada = client('Ada', username='ada', password=good)
assert ada.identities()['clients']
refused(good)
recovered = client('Recovered', username='ada', password=recovery)
recovered.disconnect()
refused(recovery)

# Others need no code, and what follows their password is no code.
bob = client('Bob', username='bob', password='x')
refused('x123456', 'bob')

# A program with a token needs none.
program = client('Program', username='ada', password=PARAMETERS['token'])
assert program.identities()['clients']

root = client('Root', username='root', password='x')
assert root.admin_request('users_table.is_password_valid', 'ada', 'x') is True
assert root.admin_request('users_table.is_password_valid', 'ada', PARAMETERS['unused']) is False
issued = root.admin_request('access.enable_totp', 'bob')
assert len(issued['recovery_codes']) == 10, issued
assert issued['uri'].startswith('otpauth://totp/'), issued
assert [(state['user'], state['state']) for state in root.admin_request('access.totp')] == [
    ('ada', 'active'), ('bob', 'unconfirmed')]
for cxn in (ada, bob, program, root):
    cxn.disconnect()
