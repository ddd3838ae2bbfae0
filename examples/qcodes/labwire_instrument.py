"""A service as an instrument of QCoDeS."""
from qcodes.instrument import Instrument


class LabwireInstrument(Instrument):
    """An instrument whose parameters are methods of a service.

    `cxn` comes from `msl.network.connect()`, and `service` is the name of the service. Add parameters with
    `add_service_parameter`. Any other method can be called with `call`.
    """

    def __init__(self, name, cxn, service, **kwargs):
        super().__init__(name, **kwargs)
        self._link = cxn.link(service)

    def call(self, method, *args, **kwargs):
        """Calls a method of the service, and returns its result."""
        return getattr(self._link, method)(*args, **kwargs)

    def add_service_parameter(self, name, *, read=None, write=None, **kwargs):
        """Adds a parameter.

        `read` is the name of a method without arguments, `write` of one with the new value as its argument. Further
        keyword arguments are those of a parameter of QCoDeS: `unit`, `label`, `vals` and others.
        """
        return self.add_parameter(
            name,
            get_cmd=(lambda: self.call(read)) if read else False,
            set_cmd=(lambda value: self.call(write, value)) if write else False,
            **kwargs,
        )

    def get_idn(self):
        """Returns what the manager tells about the service."""
        link = self._link
        return {
            'vendor': None,
            'model': link.service_name,
            'serial': link.service_address,
            'firmware': link.service_language,
        }

    def close(self):
        """Unlinks from the service, and closes the instrument."""
        if self._link is not None:
            self._link.unlink()
            self._link = None
        super().close()
