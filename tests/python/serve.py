"""Runs one service: one of the package's own examples, or one that the tests need beside them."""
import threading

from msl.examples.network import BasicMath, Echo, Heartbeat, MyArray
from msl.network import Service, json

from common import CONNECTION, PARAMETERS


class StringEditor(Service):
    """The service of the documentation's chapter about terminals."""

    def __init__(self):
        super().__init__(name='String Editor')

    def concat(self, s1, s2):
        return s1 + s2


class Multimeter(Service):
    """The documentation's digital multimeter, without the hardware."""

    def __init__(self):
        super().__init__(name='Hewlett Packard 34401A', max_clients=1)
        self._written = None

    def write(self, command: str) -> None:
        self._written = command

    def read(self) -> str:
        return {'MEASURE:VOLTAGE:DC?': '-6.23954727E-02'}[self._written]

    def query(self, command: str) -> str:
        self.write(command)
        return self.read()


class Point:
    """Says itself how it is to be sent."""

    def to_json(self):
        return {'x': 1.5, 'y': -2}


class Laboratory(Service):
    """Does whatever the tests ask for."""

    wavelength = 632.8

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.ignore_attributes('concealed')
        self._gate = threading.Event()

    @property
    def temperature(self) -> float:
        return 20.25

    def repeat(self, *args, **kwargs):
        return args, kwargs

    def concealed(self) -> str:
        return 'found'

    def fail(self, message: str):
        raise ValueError(message)

    def unknown_type(self):
        return object()

    def point(self):
        return Point()

    def wait_for_gate(self) -> str:
        assert self._gate.wait(60), 'the gate stayed closed'
        return 'through'

    def open_gate(self):
        self._gate.set()

    def close_gate(self):
        self._gate.clear()

    def announce(self, *args, **kwargs):
        self.emit_notification_threadsafe(*args, **kwargs)

    def text_of_length(self, length: int) -> str:
        return 'r' * length

    def length_of(self, text: str) -> int:
        return len(text)

    def shutdown_service(self, *args, **kwargs):
        return ['shutting down', args, kwargs]

    def shutdown_handler(self):
        print('the shutdown handler was called')


class Unstoppable(Service):
    """Has no method to shut it down."""

    def ping(self):
        return 'pong'


class Greeter(Service):
    """Has a task of its own that runs in the event loop."""

    def __init__(self):
        super().__init__()
        self.add_tasks(self.say_so())

    async def say_so(self):
        print('the task runs')


class Broad(Service):
    """Has more methods, and a larger public table, than fit into 64 KiB."""

    def __init__(self):
        super().__init__()
        self.table = [number / 7 for number in range(3000)]


def _measure(self, channel: int, samples: int = 100, rate: float = 1.5, unit: str = 'V') -> list:
    return [channel, samples, rate, unit]


for number in range(800):
    setattr(Broad, f'measure_on_channel_{number:03}', _measure)


class Printing(Service):
    """Prints whatever it is asked to onto its connection, instead of an answer."""

    def garble(self, text: str):
        self._loop.call_soon_threadsafe(self._writer.write, f'{text}\r\n'.encode())
        return text

    def ready(self) -> bool:
        return True


class Strict(Service):
    """Uses a JSON library that reads and writes no NaN, as simplejson and orjson do."""

    def __init__(self):
        super().__init__()
        json.backend.kwargs_loads = {'parse_constant': self.refuse}
        json.backend.kwargs_dumps = {'allow_nan': False}

    @staticmethod
    def refuse(token):
        raise ValueError(f'out of range: {token}')

    def echo(self, *args):
        return args


CLASSES = {cls.__name__: cls for cls in (
    BasicMath, Broad, Echo, Greeter, Heartbeat, Laboratory, Multimeter, MyArray, Printing, Strict, StringEditor,
    Unstoppable)}

service = CLASSES[PARAMETERS['class']](**PARAMETERS['construction'])
if isinstance(service, Heartbeat):
    service.add_tasks(service.emit())
service.start(**CONNECTION)
