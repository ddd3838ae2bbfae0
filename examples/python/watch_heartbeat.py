"""Listens to the service `heartbeat`: five beats, then the counter is reset, then three more."""
import queue

from msl.network import connect

from common import options

cxn = connect(name='watch_heartbeat', **options())
heartbeat = cxn.link('Heartbeat')
beats = queue.Queue()
heartbeat.notification_handler = lambda counter: beats.put(counter)
for _ in range(5):
    print('beat', beats.get())
heartbeat.reset()
print('reset')
for _ in range(3):
    print('beat', beats.get())
cxn.disconnect()
