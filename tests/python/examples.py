"""The documentation's chapter "Python Examples". Needs Echo, MyArray, Heartbeat and Multimeter."""
import queue
import types

from msl.network import LinkedClient

from common import CONNECTION, client, link, refusal_of

cxn = client()

# Echo
e = link(cxn, 'Echo')
assert e.echo('hello') == [['hello'], {}]
assert e.echo('world!', x=7, array=list(range(10))) == [['world!'], {'x': 7, 'array': list(range(10))}]
args, kwargs = e.echo(1, 2, x='hello', y='world')
assert (args, kwargs) == ([1, 2], {'x': 'hello', 'y': 'world'})

# MyArray
my_array = link(cxn, 'MyArray')
linspace = my_array.linspace(0, 1)
assert len(linspace) == 100 and linspace[0] == 0 and abs(linspace[-1] - 1) < 1e-12
assert my_array.linspace(-1, 1, n=5) == [-1.0, -0.5, 0.0, 0.5, 1.0]
assert my_array.scalar_multiply(2, [1, 2.5, -3]) == [2, 5.0, -6]

# Heartbeat
notifications = queue.Queue()


def take_notification(self, *args, **kwargs):
    notifications.put((self.service_name, args, kwargs))


heartbeat = link(cxn, 'Heartbeat')
heartbeat.notification_handler = types.MethodType(take_notification, heartbeat)
heartbeat.set_heart_rate(100)
name, (first,), kwargs = notifications.get(timeout=60)
assert name == 'Heartbeat' and kwargs == {}
for counter in range(first + 1, first + 20):
    assert notifications.get(timeout=60) == ('Heartbeat', (counter,), {})
heartbeat.reset()
while notifications.get(timeout=60)[1] != (0,):
    pass
assert notifications.get(timeout=60)[1] == (1,)
heartbeat.kill()

# Digital multimeter: one client at a time
dmm = link(cxn, 'Hewlett Packard 34401A')
assert dmm.query('MEASURE:VOLTAGE:DC?') == '-6.23954727E-02'
assert dmm.write('MEASURE:VOLTAGE:DC?') is None
assert dmm.read() == '-6.23954727E-02'
assert dmm.service_max_clients == 1
other = client('other')
refused = refusal_of(other.link, 'Hewlett Packard 34401A')
assert "PermissionError: The maximum number of Clients are already linked with 'Hewlett Packard 34401A'" \
    f'\nThe linked Clients are:\n  {cxn}' in refused, refused
other.disconnect()
cxn.disconnect()

dmm = LinkedClient('Hewlett Packard 34401A', **CONNECTION)
assert dmm.query('MEASURE:VOLTAGE:DC?') == '-6.23954727E-02'
dmm.disconnect()
