"""A client that may only ask for what it calls: it waits, and gets the answer, or the refusal.

The Echo service is registered, and somebody approves the first request and refuses the second.
"""
from common import client, refusal_of, until

ada = client('Ada', username='ada', password='x')
until(lambda: 'Echo' in ada.identities()['services'], 'ada sees Echo')
echo = ada.link('Echo')
assert echo.echo(1) == [[1], {}]
refused = refusal_of(echo.echo, 2, x=3)
assert "PermissionError: 'root' has refused the request to the 'Echo' Service: not today" in refused, refused
ada.disconnect()
