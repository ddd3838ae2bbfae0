"""An unmodified client links with the manager itself, and hears of what happens there. Needs the service Laboratory."""
from common import client, link, until

watcher, other = client('watcher'), client('other')
manager = watcher.link('Manager')
assert manager.service_name == 'Manager'
assert manager.service_max_clients == -1

heard = []


def handler(*args, **kwargs):
    heard.append((args, kwargs))


manager.notification_handler = handler

laboratory = link(other, 'Laboratory')
name = str(other)
linked = ('manager.linked', {'client': name, 'links': 1, 'locks': 0, 'service': 'Laboratory'})
until(lambda: any(args == linked for args, _ in heard), 'the link is heard of')
assert all(kwargs['sender'].startswith('Manager[') and not kwargs['retained'] for _, kwargs in heard), heard

laboratory.acquire_lock()
until(lambda: any(args[0] == 'manager.locked' for args, _ in heard), 'the lock is heard of')
other.disconnect()
until(lambda: (('manager.client_left', {'name': name}), ) in [(args, ) for args, _ in heard], 'the end is heard of')

# Locks with terms, from an unmodified client
terms = client('terms')
assert terms.admin_request('acquire_lock', 'Laboratory', ttl=60, reason='a test', wait=10) == [str(terms)]
assert terms.link('Laboratory').repeat(3) == [[3], {}]
assert terms.admin_request('renew_lock', 'Laboratory')['ttl'] == 60
terms.disconnect()

manager.unlink()
count = len(heard)
third = client('third')
third.disconnect()
assert len(heard) == count, heard[count:]
