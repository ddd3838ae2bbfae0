"""The API page of Service.

Needs the services Laboratory (max_clients 2, ignoring fail and point) and Greeter.
"""
import logging

from msl.network import Service

from common import CONNECTION, client, link, refusal_of, wait_for_service

cxn = client('first')
laboratory = link(cxn, 'Laboratory')
wait_for_service(cxn, 'Greeter')

# max_clients
assert laboratory.service_max_clients == 2
second, third = client('second'), client('third')
other = second.link('Laboratory')
refused = refusal_of(third.link, 'Laboratory')
assert "PermissionError: The maximum number of Clients are already linked with 'Laboratory'" \
    '\nThe linked Clients are:\n  ' + '\n  '.join(sorted([str(cxn), str(second)])) in refused, refused
second.link('Laboratory')  # whoever is linked can link again
other.unlink()
third.link('Laboratory')
second.disconnect()
third.disconnect()

# ignore_attributes, in the constructor and by the method
attributes = laboratory.service_attributes
assert not {'fail', 'point', 'concealed'} & set(attributes), attributes
# What every Service has of its own is not part of its identity.
assert not {'start', 'emit_notification', 'ignore_attributes', 'name', 'port', 'max_clients'} & set(attributes)
assert not [name for name in attributes if name.startswith('_')]
assert attributes['length_of'] == '(text: str) -> int', attributes
assert attributes['temperature'] == 20.25, attributes
assert laboratory.point() == {'x': 1.5, 'y': -2}

# The name is taken: the service learns why, and its connection is closed.
records = []


class Collector(logging.Handler):
    def emit(self, record):
        records.append(record.getMessage())


logging.getLogger('msl.network').addHandler(Collector())


class Latecomer(Service):
    closed = False

    def shutdown_handler(self):
        self.closed = True


latecomer = Latecomer()
latecomer.start(name='Laboratory', **CONNECTION)
assert latecomer.closed
assert any("NameError: A 'Laboratory' service is already running on the Manager" in text for text in records), \
    records
assert laboratory.repeat(1) == [[1], {}]

assert laboratory.shutdown_service() == ['shutting down', [], {}]
cxn.disconnect()
