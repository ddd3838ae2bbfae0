"""A client is disconnected when its user is disabled, and cannot log in until the user is enabled. It goes on when
its user is an administrator no longer, and is disconnected when its user is removed."""
from common import CONNECTION, client, error_of, until
from msl.network import connect

root = client('Root', username='root', password='x')
ada = client('Ada', username='ada', password='x')
assert ada.identities()['clients']
assert root.admin_request('access.disable_user', 'ada', reason='on leave') is None
until(lambda: not ada.is_connected(), 'the connection of ada is closed')
gone = str(error_of(ada.link, 'Echo'))
assert 'Disconnected from Manager' in gone, gone
refused = str(error_of(connect, **{**CONNECTION, 'username': 'ada', 'password': 'x'}))
assert 'Unregistered user or Wrong login password' in refused, refused
assert 'on leave' not in refused, refused
assert root.admin_request('users_table.is_password_valid', 'ada', 'x') is False
assert root.admin_request('access.users')[0]['disabled']['reason'] == 'on leave'
assert root.admin_request('access.enable_user', 'ada') is None
ada = client('Ada', username='ada', password='x')
assert root.admin_request('users_table.insert', 'eve', 'x', True) is None
eve = client('Eve', username='eve', password='x')
assert 'eve' in eve.admin_request('users_table.usernames')
assert root.admin_request('users_table.update', 'eve', is_admin=False) is None
assert eve.identities()['clients'] and eve.is_connected()
assert root.admin_request('users_table.delete', 'eve') is None
until(lambda: not eve.is_connected(), 'the connection of eve is closed')
for cxn in (ada, root):
    cxn.disconnect()
