"""Methods of a service as a signal of ophyd, for plans of bluesky."""
import time

from ophyd import Signal
from ophyd.status import Status


class LabwireSignal(Signal):
    """A value that one method of a service returns, and another one sets.

    `link` comes from `msl.network.connect().link(…)`. `read` is the name of a method without arguments, and `write`
    of one with the new value as its argument, which returns when the value is reached; without `write`, the signal
    is only read. `units` is noted in the documents of a run.
    """

    def __init__(self, link, *, name, read, write=None, units=None, **kwargs):
        super().__init__(name=name, **kwargs)
        self._link = link
        self._read_method = read
        self._write_method = write
        self._units = units
        self._metadata['write_access'] = write is not None

    def get(self, **_kwargs):
        """Calls the service, and returns the value."""
        value = getattr(self._link, self._read_method)()
        # Tells the subscribers of the signal, and keeps the time.
        super().put(value, timestamp=time.time(), force=True)
        return value

    def put(self, value, *, timeout=None, **_kwargs):
        """Sets the value, and waits until it is reached."""
        self.set(value, timeout=timeout).wait()

    def set(self, value, *, timeout=None, settle_time=None, **_kwargs):
        """Sets the value. The returned status is done when the service has replied, or has failed."""
        if self._write_method is None:
            raise PermissionError(f'{self.name} can only be read')
        status = Status(self, timeout=timeout, settle_time=settle_time or 0)
        future = getattr(self._link, self._write_method)(value, asynchronous=True)
        future.add_done_callback(lambda done: self._replied(done, status))
        return status

    @staticmethod
    def _replied(future, status):
        if status.done:
            return  # the time limit was over before
        error = future.exception()
        if error is None:
            status.set_finished()
        else:
            status.set_exception(error)

    def describe(self):
        """Describes the value, with the name of the service as its source."""
        self.get()  # its type is that of the value
        description = super().describe()
        description[self.name]['source'] = f'labwire://{self._link.service_name}/{self._read_method}'
        if self._units:
            description[self.name]['units'] = self._units
        return description
