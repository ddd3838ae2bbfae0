"""What every script here needs: its parameters, its connections, and waits that end.

A script gets its parameters as one JSON object on the command line:
  connection   keyword arguments for connect() and Service.start()
  deadline     seconds after which a script that hangs shows where, and fails
and what else its test has to say to it.
"""
import faulthandler
import json
import sys
import time

from msl.network import connect

PARAMETERS = json.loads(sys.argv[1])
CONNECTION = PARAMETERS['connection']

# A client's thread that has died leaves its caller waiting for ever: show where.
faulthandler.dump_traceback_later(PARAMETERS['deadline'], exit=True)


def client(name='Client', **changes):
    """Connect as a client, with the connection's arguments changed by `changes`."""
    return connect(name=name, **{**CONNECTION, **changes})


def until(condition, what):
    """Wait until `condition` returns something true, and return that."""
    deadline = time.monotonic() + 60
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f'never came true: {what}'
        time.sleep(0.01)


def wait_for_service(cxn, name):
    """Wait until a service is registered at the manager."""
    until(lambda: name in cxn.identities()['services'], f'service {name!r} is there')


def link(cxn, name):
    """Wait until a service is registered, then link with it."""
    wait_for_service(cxn, name)
    return cxn.link(name)


def error_of(function, *args, **kwargs):
    """The exception that a call raises; not to raise is a failure."""
    try:
        value = function(*args, **kwargs)
    except Exception as error:
        # Without the frames that it went through: a client that failed half-way in one of them would be kept
        # until the interpreter ends, and then wait for a thread that is no more.
        return error.with_traceback(None)
    raise AssertionError(f'no error, but {value!r}')


def refusal_of(function, *args, **kwargs):
    """The text of the RuntimeError with which a client reports an error frame."""
    error = error_of(function, *args, **kwargs)
    assert type(error) is RuntimeError, repr(error)
    return str(error)
