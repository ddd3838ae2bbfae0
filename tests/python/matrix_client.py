"""What every kind of client is made to do: the twin of `programs/matrix_client.rs`."""
import json
import queue

from common import PARAMETERS, client, link, refusal_of, until

SERVICE = PARAMETERS['service']


def told(text, function, *args, **kwargs):
    """Whether a call fails with an error that holds this text."""
    refusal = refusal_of(function, *args, **kwargs)
    return 'refused' if text in refusal else refusal


ada, bob, cid = client('Ada'), client('Bob'), client('Cid')
bench = link(ada, SERVICE)
print('add', f'{bench.add(1, 2):g}')
print('power', f'{bench.power(2):g}', f'{bench.power(2, n=4):g}')
print('echo', json.dumps(bench.echo(1, 'x', y=[1.5, None]), separators=(',', ':')))
print('check', told('ValueError: the value is < 0', bench.check, -1))

notifications = queue.Queue()
bench.notification_handler = lambda value, unit: notifications.put((value, unit))
bench.emit(7, unit='V')
value, unit = notifications.get(timeout=60)
print('notified', f'{value:g}', unit)

print('lock', len(bench.acquire_lock()), told('service is locked', bob.link, SERVICE))
print('release', len(bench.release_lock()))
second = bob.link(SERVICE)
print('limit', told('The maximum number of Clients are already linked', cid.link, SERVICE))
print('exclusive', told('cannot acquire an exclusive lock', bench.acquire_lock))
print('shared', len(second.acquire_lock(shared=True)))

print('end', bench.shutdown_service())
until(lambda: SERVICE not in ada.identities()['services'], 'the service has left')
print('gone', told('is not connected', second.add, 1, 2))
for cxn in (ada, bob, cid):
    cxn.disconnect()
