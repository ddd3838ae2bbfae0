"""An unmodified client uses an instrument that a file describes. Needs the service Multimeter."""
import queue

from common import client, link, refusal_of

cxn = client('reader')
multimeter = link(cxn, 'Multimeter')
signature = multimeter.service_attributes['dc_voltage']
assert signature == "(range: float | str = 'AUTO') -> float", signature

polled = queue.Queue()
multimeter.notification_handler = lambda *args, **kwargs: polled.put((args, kwargs))

assert multimeter.dc_voltage(range=10) == 1.2500017
assert multimeter.dc_voltage() == 1.2500017
assert multimeter.ac_voltage(1) == float('inf')
assert multimeter.read() == [1.2500017, 1.2499977]
assert multimeter.set_samples(2) is None
assert multimeter.instrument()['reachable'] is True
refusal = refusal_of(multimeter.dc_voltage, 2000)
assert "2000 V is out of range: 0.1 to 1000 V" in refusal, refusal

assert polled.get(timeout=60) == (('dc_voltage', 1.2500017), {'unit': 'V'})
