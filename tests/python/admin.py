"""What an administrator can ask of the manager, from a client that is logged in or is asked to log in.

The database holds the administrator given as parameter, and nobody else.
"""
import re

from common import CONNECTION, PARAMETERS, client, refusal_of

username = PARAMETERS['administrator']['username']
cxn = client(**PARAMETERS['administrator'])
ask = cxn.admin_request

assert ask('port', timeout=60) == CONNECTION['port']
assert ask('users_table.usernames') == [username]
assert ask('users_table.is_user_registered', 'N.Bohr') is False
assert ask('users_table.is_user_registered', username) is True

assert ask('users_table.insert', 'N.Bohr', 'atom', False) is None
assert ask('users_table.is_user_registered', 'N.Bohr') is True
assert sorted(ask('users_table.usernames')) == sorted(['N.Bohr', username])
assert sorted(ask('users_table.users')) == sorted([['N.Bohr', False], [username, True]])
assert ask('users_table.is_admin', 'N.Bohr') is False
assert ask('users_table.update', 'N.Bohr', password='quantum', is_admin=True) is None
assert ask('users_table.is_admin', 'N.Bohr') is True
assert "ValueError: A user with the name 'N.Bohr' already exists" in refusal_of(
    ask, 'users_table.insert', 'N.Bohr', 'atom', False)
assert "ValueError: You must specify a password for 'E.Noether'" in refusal_of(
    ask, 'users_table.insert', 'E.Noether', '', False)
assert ask('users_table.delete', 'N.Bohr') is None
assert "'N.Bohr'" in refusal_of(ask, 'users_table.delete', 'N.Bohr')
assert ask('users_table.usernames') == [username]

hostnames = ask('hostnames_table.hostnames')
assert 'localhost' in hostnames
assert ask('hostnames_table.insert', 'balance-7') is None
assert sorted(ask('hostnames_table.hostnames')) == sorted([*hostnames, 'balance-7'])
assert ask('hostnames_table.delete', 'balance-7') is None
assert "'balance-7'" in refusal_of(ask, 'hostnames_table.delete', 'balance-7')
assert sorted(ask('hostnames_table.hostnames')) == sorted(hostnames)

assert ask('set_logging_level', 'debug') is True
assert ask('set_logging_level', 'loud') is False
assert ask('set_logging_level', 'INFO') is True

# The record of connections is written beside the traffic: ours appears in a while.
for record in ask('connections_table.connections'):
    number, when, address, domain, port, message = record
    assert isinstance(number, int) and isinstance(port, int), record
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d', when), record
    assert all(isinstance(text, str) for text in (address, domain, message)), record
assert ask('connections_table.connections', start='2999-01-01') == []
assert ask('connections_table.connections', end='1999-01-01T00:00:00') == []
# What an administrator may ask for is a list, not whatever the manager has.
refusal_of(ask, 'users_table.execute', 'SELECT 1;')
refusal_of(ask, '_loop')
refusal_of(ask, 'no_such_attribute')
assert ask('port') == CONNECTION['port']
assert ask('password') is None
cxn.disconnect()
