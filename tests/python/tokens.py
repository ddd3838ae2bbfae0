"""What a script may do that logs in with a token in the place of a password, until the token is revoked.

The services Echo and 'Hidden' are registered. The parameters are the secret `token`, its number `id`, and the command
`revoke` with the environment `home`, which revokes it.
"""
import os
import subprocess

from common import CONNECTION, PARAMETERS, client, error_of, refusal_of, until
from msl.network import connect

token = PARAMETERS['token']

# Whoever guesses, or presents the token of somebody else, is told what everybody is told.
for name, secret in (('ada', token[:-1]), ('bob', token), ('nobody', token), ('ada', 'lwt_')):
    refused = str(error_of(connect, **{**CONNECTION, 'username': name, 'password': secret}))
    assert 'Unregistered user or Wrong login password' in refused, (name, refused)

script = client('Script', username='ada', password=token)
echo = script.link('Echo')
assert echo.echo(1, x=2) == [[1], {'x': 2}]
assert list(script.identities()['services']) == ['Echo'], script.identities()
number = PARAMETERS['id']
for function, arguments, permission in (
        (echo.other, (), 'call Echo.other'),
        (script.link, ('Hidden',), 'link Hidden'),
        (script.admin_request, ('users_table.usernames',), 'administer users_table.usernames')):
    refused = refusal_of(function, *arguments)
    expected = f"PermissionError: the permission '{permission}' is not one of the token {number} of the user 'ada'"
    assert expected in refused, refused

# The password allows what it did.
person = client('Person', username='ada', password='x')
assert person.link('Hidden') is not None
assert 'ada' in person.admin_request('users_table.usernames')

command = PARAMETERS['revoke']
subprocess.run(command, check=True, env={**os.environ, 'LABWIRE_HOME': PARAMETERS['home']}, stdout=subprocess.DEVNULL)
until(lambda: not script.is_connected(), 'the connection of the script is closed')
gone = str(error_of(script.link, 'Echo'))
assert 'Disconnected from Manager' in gone, gone
refused = str(error_of(connect, **{**CONNECTION, 'username': 'ada', 'password': token}))
assert 'Unregistered user or Wrong login password' in refused, refused
assert person.link('Echo').echo(3) == [[3], {}]
person.disconnect()
