"""What a guest, an operator and a user without any grant may do at a manager with roles.

The Echo service is registered, and 'Hidden' too. The parameter `users` names the users; each has the password 'x'.
"""
from common import client, refusal_of, until

# A guest is an observer of Echo: sees and links, and calls nothing.
guest = client('Guest', username='guest', password='x')
until(lambda: 'Echo' in guest.identities()['services'], 'the guest sees Echo')
identities = guest.identities()
assert list(identities['services']) == ['Echo'], identities['services']
assert len(identities['clients']) == 1, identities['clients']
echo = guest.link('Echo')
refused = refusal_of(echo.echo, 1)
assert "PermissionError: the permission 'call Echo.echo' is not granted to the user 'guest'" in refused, refused
refused = refusal_of(guest.link, 'Hidden')
assert "the permission 'link Hidden' is not granted" in refused, refused
absent = refusal_of(guest.link, 'Absent')
assert absent.replace('Absent', 'Hidden') == refused, absent
refused = refusal_of(guest.admin_request, 'users_table.usernames')
assert "the permission 'administer users_table.usernames' is not granted to the user 'guest'" in refused, refused
# The connection goes on.
assert guest.link('Echo') is not None

# An operator calls it.
operator = client('Operator', username='operator', password='x')
assert operator.link('Echo').echo(1, x=2) == [[1], {'x': 2}]
assert list(operator.identities()['services']) == ['Echo', 'Hidden'], operator.identities()

# Whom nothing is granted to is admitted, and sees nothing.
nobody = client('Nobody', username='nobody', password='x')
assert nobody.identities()['services'] == {}, nobody.identities()
refused = refusal_of(nobody.link, 'Echo')
assert "the permission 'link Echo' is not granted to the user 'nobody'" in refused, refused

# An administrator does everything without a grant.
administrator = client('Administrator', username='root', password='x')
assert 'guest' in administrator.admin_request('users_table.usernames')
assert administrator.link('Hidden') is not None
for cxn in (guest, operator, nobody, administrator):
    cxn.disconnect()
