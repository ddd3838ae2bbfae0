"""A tour through everything, short enough to be made in every mode of authentication, with and without TLS.

Needs the services Laboratory and Greeter, and a manager whose administrator is given as parameter. Ends the
manager.
"""
import concurrent.futures
import queue
import threading

from msl.network import LinkedClient
from msl.network.constants import SHUTDOWN_MANAGER

from common import CONNECTION, PARAMETERS, client, error_of, link, refusal_of, until, wait_for_service

administrator = PARAMETERS['administrator']
cxn = client('guide', **administrator)
laboratory = link(cxn, 'Laboratory')

assert laboratory.repeat(1, text='µm 😀', none=None) == [[1], {'text': 'µm 😀', 'none': None}]
futures = [laboratory.repeat(i, asynchronous=True) for i in range(50)]
assert [future.result(60) for future in futures] == [[[i], {}] for i in range(50)]
error = error_of(laboratory.wait_for_gate, timeout=0.1)
assert isinstance(error, concurrent.futures.TimeoutError), repr(error)
laboratory.open_gate()
assert 'ValueError: no light' in refusal_of(laboratory.fail, 'no light')
assert 'Traceback (most recent call last):' in refusal_of(laboratory.unknown_type)

identities = cxn.identities()
assert str(cxn) in identities['clients'] and 'Laboratory' in identities['services']
assert f'  {cxn}' in cxn.identities(as_string=True).splitlines()

notifications = queue.Queue()
laboratory.notification_handler = lambda *args, **kwargs: notifications.put((args, kwargs))
laboratory.announce(1, two=2)
assert notifications.get(timeout=60) == ((1,), {'two': 2})

other = cxn.spawn('other')
assert laboratory.acquire_lock() == [str(cxn)]
assert "'Laboratory' service is locked" in refusal_of(other.link, 'Laboratory')
assert laboratory.release_lock() == []
second = other.link('Laboratory')
assert sorted(laboratory.acquire_lock(shared=True)) == sorted([str(cxn), str(other)])
second.unlink()
assert laboratory.release_lock() == []
other.disconnect()

linked = LinkedClient('Laboratory', **{**CONNECTION, **administrator})
assert linked.length_of('four') == 4
linked.disconnect()

wait_for_service(cxn, 'Greeter')
assert laboratory.shutdown_service('bye') == ['shutting down', ['bye'], {}]
until(lambda: 'Laboratory' not in cxn.identities()['services'], 'the service has left')

assert cxn.admin_request('users_table.is_user_registered', 'N.Bohr') is False
assert cxn.admin_request('users_table.usernames') == [administrator['username']]
shut_down = threading.Event()
cxn.shutdown_handler = shut_down.set
assert cxn.admin_request(SHUTDOWN_MANAGER) is None
assert shut_down.wait(60)
assert not cxn.is_connected()
