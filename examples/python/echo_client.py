"""The unmodified Python package calls the Rust service `echo`."""
from msl.network import connect

from common import options

cxn = connect(name='echo_client', **options())
echo = cxn.link('Echo')
args, kwargs = echo.echo('hello', float('nan'), x=1.5)
print(args, kwargs)
cxn.disconnect()
