"""Does what the record of a manager should tell of. Needs the service Laboratory, whose name is a parameter."""
from common import CONNECTION, PARAMETERS, client, error_of, link, refusal_of
from msl.network import connect

holder, rival = client('Holder'), client('Rival')
laboratory = link(holder, 'Laboratory')
assert laboratory.acquire_lock() == [str(holder)]
assert 'PermissionError' in refusal_of(rival.link, 'Laboratory')
assert laboratory.repeat('a payload')[0] == ['a payload']
assert laboratory.release_lock() == []
laboratory.unlink()

# An administrator's request, with a secret among its arguments
holder.admin_request('users_table.insert', 'newcomer', PARAMETERS['secret'], False)

# A login with a wrong password, and one in which the password is in the place of the username
for wrong in ({'password': PARAMETERS['guess']}, {'username': PARAMETERS['guess']}):
    error_of(connect, name='Guesser', **{**CONNECTION, **wrong})

holder.disconnect()
rival.disconnect()
