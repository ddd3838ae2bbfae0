"""The API page of Link. Needs the services Laboratory and Unstoppable."""
import queue

from common import CONNECTION, client, error_of, link, refusal_of, until

cxn = client('first')
laboratory = link(cxn, 'Laboratory')
identity = cxn.identities()['services']['Laboratory']
assert laboratory.service_name == 'Laboratory'
assert laboratory.service_address == identity['address']
assert laboratory.service_attributes == identity['attributes']
assert laboratory.service_language == identity['language']
assert laboratory.service_os == identity['os']
assert laboratory.service_max_clients == -1
assert repr(laboratory) == f'<Link with Laboratory[{identity["address"]}] ' \
    f'at Manager[{CONNECTION["host"]}:{CONNECTION["port"]}]>'

# Attributes of every kind; those that are ignored in the identity can be asked for all the same.
assert laboratory.wavelength() == 632.8
assert laboratory.temperature() == 20.25
assert laboratory.concealed() == 'found'
assert laboratory.point() == {'x': 1.5, 'y': -2}
assert laboratory.set_logging_level('info') is True

# Errors of the service, with its traceback where it sends one
assert 'ValueError: the lamp is off' in refusal_of(laboratory.fail, 'the lamp is off')
assert "has no attribute 'missing'" in refusal_of(laboratory.missing)
assert 'PermissionError: Cannot request a private attribute' in refusal_of(laboratory._futures)
assert 'TypeError' in refusal_of(laboratory.fail)
refused = refusal_of(laboratory.unknown_type)
assert 'Traceback (most recent call last):' in refused, refused
assert '_send_responses' in refused and 'is not JSON serializable' in refused, refused

# Notifications reach every linked client, and no other.
notifications = queue.Queue()
laboratory.notification_handler = lambda *args, **kwargs: notifications.put(('first', args, kwargs))
second = client('second')
other = link(second, 'Laboratory')
other.notification_handler = lambda *args, **kwargs: notifications.put(('second', args, kwargs))
third = client('third')
unlinked = link(third, 'Laboratory')
unlinked.notification_handler = lambda *args, **kwargs: notifications.put(('third', args, kwargs))
third.unlink(unlinked)
for i in range(10):
    laboratory.announce(i, [1.5, None], unit='nm')
received = [notifications.get(timeout=60) for _ in range(20)]
for name in ('first', 'second'):
    mine = [(args, kwargs) for who, args, kwargs in received if who == name]
    assert mine == [((i, [1.5, None]), {'unit': 'nm'}) for i in range(10)], mine
third.identities()  # whatever was sent to it before has arrived
assert notifications.empty()
third.disconnect()

# unlink and disconnect mean the same to a link
other.disconnect(timeout=60)
assert isinstance(error_of(lambda: other.repeat), AttributeError)
assert repr(other) == f'<Un-Linked from Laboratory[{identity["address"]}]>'
other = second.link('Laboratory')
other.unlink(timeout=60)
other.unlink()  # once more does no harm
other = second.link('Laboratory')

# shutdown_service, for a service that cannot and one that can
unstoppable = link(cxn, 'Unstoppable')
assert 'AttributeError' in refusal_of(unstoppable.shutdown_service)
assert unstoppable.ping() == 'pong'
assert laboratory.shutdown_service('now', why='done') == ['shutting down', ['now'], {'why': 'done'}]
until(lambda: 'Laboratory' not in cxn.identities()['services'], 'the service has left')
assert isinstance(error_of(lambda: laboratory.repeat), AttributeError)
assert "the 'Laboratory' Service is not connected" in refusal_of(other.repeat)
assert "'Laboratory' service does not exist" in refusal_of(other.acquire_lock)
assert "'Laboratory' service does not exist" in refusal_of(other.release_lock)
other.unlink()  # also when the service is gone
second.disconnect()
cxn.disconnect()
