"""The API page of Client. Needs the service Laboratory, and no TLS."""
import concurrent.futures
import threading

from common import CONNECTION, client, error_of, link, refusal_of, wait_for_service

address = f'{CONNECTION["host"]}:{CONNECTION["port"]}'

cxn = client('A client')
assert cxn.is_connected()
assert cxn.name == 'A client'
assert cxn.address_manager == address
assert repr(cxn) == f'<A client manager={address} port={cxn.port}>'
assert cxn.loop_thread_id is not None
assert cxn.identity()['type'] == 'client'

# Where it cannot connect, the caller is told why.
error = error_of(client, disable_tls=False, auto_save=True)
assert isinstance(error, ConnectionError) and 'Try setting disable_tls=True' in str(error), repr(error)

# identities
wait_for_service(cxn, 'Laboratory')
identities = cxn.identities(timeout=60)
assert set(identities) == {'hostname', 'port', 'attributes', 'language', 'os', 'clients', 'services'}
assert identities['port'] == CONNECTION['port']
me = identities['clients'][str(cxn)]
assert me == {
    'name': 'A client',
    'address': str(cxn)[len('A client['):-1],
    'language': cxn.identity()['language'],
    'os': cxn.identity()['os'],
}, me
service = identities['services']['Laboratory']
assert set(service) == {'attributes', 'address', 'language', 'os', 'max_clients'}, service
assert service['max_clients'] == -1
assert service['attributes']['repeat'] == '(*args, **kwargs)'
assert service['attributes']['wavelength'] == 632.8
assert 'concealed' not in service['attributes']
lines = cxn.identities(as_string=True, indent=4).splitlines()
assert lines[0] == f'Manager[{identities["hostname"]}:{identities["port"]}]'
assert '        wavelength() -> 632.8'.replace('        ', 12 * ' ') in lines, lines

# link and unlink
laboratory = cxn.link('Laboratory', timeout=60)
again = cxn.link('Laboratory')
assert again.service_address == laboratory.service_address
assert laboratory.repeat(1, two=2) == [[1], {'two': 2}]
cxn.unlink(again, timeout=60)
assert f"cannot unlink {cxn}, it was not linked with 'Laboratory'" in refusal_of(cxn.unlink, laboratory)
assert isinstance(error_of(cxn.unlink, 'Laboratory'), TypeError)
assert f"the 'Nobody' service does not exist, cannot link with {cxn}" in refusal_of(cxn.link, 'Nobody')

# Both ways to send a request
laboratory = cxn.link('Laboratory')
assert laboratory.repeat('synchronous', asynchronous=False) == [['synchronous'], {}]
futures = [laboratory.repeat(i, asynchronous=True) for i in range(200)]
assert [future.result(60) for future in futures] == [[[i], {}] for i in range(200)]

# Requests overlap: the first one ends only because the second one is served meanwhile.
waiting = laboratory.wait_for_gate(asynchronous=True)
laboratory.open_gate()
assert waiting.result(60) == 'through'
laboratory.close_gate()

# A timeout ends the wait, neither the request nor the connection.
error = error_of(laboratory.wait_for_gate, timeout=0.1)
assert isinstance(error, concurrent.futures.TimeoutError), repr(error)
laboratory.open_gate()
assert laboratory.repeat('after a timeout') == [['after a timeout'], {}]

# Errors of an asynchronous request are the future's.
future = laboratory.fail('later', asynchronous=True)
assert 'ValueError: later' in str(future.exception(60))

# A request for a service that is not there
nobody = cxn._new_request  # what a Link does, too, after its service has gone
refused = refusal_of(nobody, 'Nobody', 'ask')
assert f"the 'Nobody' Service is not connected to Manager[{identities['hostname']}:{identities['port']}]" \
    in refused, refused
assert laboratory.repeat('still there') == [['still there'], {}]

# spawn
spawned = cxn.spawn('Spawned')
assert spawned.name == 'Spawned' and spawned.port != cxn.port
assert {str(cxn), str(spawned)} <= set(cxn.identities()['clients'])
assert link(spawned, 'Laboratory').repeat(2) == [[2], {}]
assert cxn.spawn().name == 'Client'

# A client may limit what it reads at once.
limited = client('limited', read_limit=1 << 20)
assert link(limited, 'Laboratory').repeat(3) == [[3], {}]
limited.disconnect()

assert isinstance(error_of(cxn.admin_request, 'port', asynchronous=True), ValueError)

# disconnect, after which the shutdown handler runs
shut_down = threading.Event()
cxn.shutdown_handler = shut_down.set
cxn.disconnect(timeout=60)
assert shut_down.wait(60)
assert not cxn.is_connected()
assert repr(cxn) == '<A client disconnected>'
error = error_of(laboratory.repeat)
assert isinstance(error, ConnectionError) and f'Disconnected from Manager[{address}]' in str(error), error
cxn.disconnect()  # once more does no harm
assert str(cxn) not in spawned.identities()['clients']
spawned.disconnect()
