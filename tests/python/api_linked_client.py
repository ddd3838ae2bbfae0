"""The API page of LinkedClient. Needs the service Laboratory."""
import queue

from msl.network import LinkedClient

from common import CONNECTION, client, error_of, refusal_of


class Careful(LinkedClient):
    """Counts the errors of its service."""

    errors = 0

    def service_error_handler(self):
        Careful.errors += 1


laboratory = Careful('Laboratory', **CONNECTION)
assert laboratory.is_connected()
assert laboratory.name == 'Careful'
assert laboratory.repeat(1) == [[1], {}]
assert laboratory.repeat(2, asynchronous=True).result(60) == [[2], {}]
assert 'ValueError: no light' in refusal_of(laboratory.fail, 'no light')
assert Careful.errors == 1
assert laboratory.repeat(3) == [[3], {}]

manager = f'{CONNECTION["host"]}:{CONNECTION["port"]}'
identity = laboratory.identities()['services']['Laboratory']
assert 'Laboratory' in laboratory.identities(as_string=True, indent=4, timeout=60)
assert laboratory.identity()['name'] == 'Careful'
assert laboratory.address_manager == manager
assert laboratory.port == laboratory.client.port
assert laboratory.service_name == 'Laboratory'
assert laboratory.service_address == identity['address'] == laboratory.link.service_address
assert laboratory.service_attributes == identity['attributes']
assert laboratory.service_language == identity['language']
assert laboratory.service_os == identity['os']
assert laboratory.service_max_clients == -1
assert repr(laboratory) == f'<Link[name=Careful] with Laboratory[{identity["address"]}] at Manager[{manager}]>'

assert laboratory.acquire_lock(timeout=60) == [str(laboratory.client)]
assert laboratory.release_lock(timeout=60) == []
spawned = laboratory.spawn('Spawned')
assert spawned.name == 'Spawned'
assert spawned.repeat(4) == [[4], {}]
assert sorted(laboratory.acquire_lock(shared=True)) == sorted([str(laboratory.client), str(spawned.client)])
laboratory.release_lock()
spawned.disconnect(timeout=60)
assert not spawned.is_connected()
assert isinstance(error_of(spawned.identities), ConnectionError)

notifications = queue.Queue()
laboratory.notification_handler = lambda *args, **kwargs: notifications.put((args, kwargs))
laboratory.announce('up', level=3)
assert notifications.get(timeout=60) == (('up',), {'level': 3})

# The time to connect and to link is limited.
error = error_of(LinkedClient, 'Nobody', **{**CONNECTION, 'timeout': 1})
assert isinstance(error, TimeoutError) and "The 'Nobody' service is not available" in str(error), repr(error)

laboratory.unlink(timeout=60)
assert isinstance(error_of(lambda: laboratory.repeat), AttributeError)
assert laboratory.is_connected()
assert repr(laboratory) == f'<Un-Linked[name=Careful] from Laboratory[{identity["address"]}]>'
laboratory.disconnect()

laboratory = LinkedClient('Laboratory', name='Last', **CONNECTION)
assert laboratory.name == 'Last'
laboratory.shutdown_service('bye')
laboratory.disconnect()
