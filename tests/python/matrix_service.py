"""The service that every kind of client is tried with: the twin of `programs/matrix_service.rs`."""
from msl.network import Service

from common import CONNECTION, PARAMETERS


class Bench(Service):

    def add(self, x: float, y: float) -> float:
        return x + y

    def power(self, x: float, n=2) -> float:
        return x ** n

    def echo(self, *args, **kwargs):
        return args, kwargs

    def check(self, x: float) -> bool:
        if x < 0:
            raise ValueError('the value is < 0')
        return True

    def emit(self, value, unit) -> None:
        self.emit_notification_threadsafe(value, unit=unit)

    def shutdown_service(self) -> str:
        return 'bye'


Bench(name=PARAMETERS['service'], max_clients=2).start(**CONNECTION)
