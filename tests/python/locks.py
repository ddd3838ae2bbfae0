"""Locks, exclusive and shared. Needs the service Laboratory."""
from common import client, link, refusal_of, until

first, second, third = client('first'), client('second'), client('third')
laboratory = link(first, 'Laboratory')


def try_to_link(cxn):
    """The link, or None as long as the service is locked."""
    try:
        return cxn.link('Laboratory')
    except RuntimeError as error:
        assert "PermissionError: 'Laboratory' service is locked" in str(error), error
        return None


# Exclusive: nobody else can link until it is released.
assert laboratory.acquire_lock(timeout=60) == [str(first)]
assert laboratory.acquire_lock() == [str(first)]
assert "PermissionError: 'Laboratory' service is locked" in refusal_of(second.link, 'Laboratory')
assert laboratory.repeat(1) == [[1], {}]
# The holder can link again.
assert first.link('Laboratory').service_name == 'Laboratory'
assert laboratory.release_lock(timeout=60) == []
assert laboratory.release_lock() == []
other = second.link('Laboratory')

# Not with two links
refused = refusal_of(laboratory.acquire_lock)
assert f"PermissionError: {first} cannot acquire an exclusive lock, there are 2 links with the " \
    f"'Laboratory' service\nThe linked Clients are:\n  " in refused, refused
assert '\n  '.join(sorted([str(first), str(second)])) in refused, refused

# Shared: those who are linked, and nobody new
assert sorted(laboratory.acquire_lock(shared=True)) == sorted([str(first), str(second)])
assert "PermissionError: 'Laboratory' service is locked" in refusal_of(third.link, 'Laboratory')
assert other.repeat(2) == [[2], {}]
assert sorted(other.acquire_lock(shared=True)) == sorted([str(first), str(second)])
assert laboratory.release_lock() == [str(second)]
assert try_to_link(third) is None

# Unlinking releases a lock, and so does leaving.
other.unlink()
newcomer = third.link('Laboratory')
newcomer.unlink()
assert laboratory.acquire_lock() == [str(first)]
assert try_to_link(third) is None
first.disconnect()
newcomer = until(lambda: try_to_link(third), 'the lock of a client that has left is released')
newcomer.unlink()

# Without a link, or without a service
not_linked = second.link('Laboratory')
second.unlink(not_linked)
assert f"PermissionError: {second} cannot acquire a lock because it is not linked with the 'Laboratory' service" \
    in refusal_of(not_linked.acquire_lock)
assert f"'Nobody' service does not exist, {second} cannot acquire a lock" \
    in refusal_of(second.admin_request, 'acquire_lock', 'Nobody', shared=False)
assert f"'Nobody' service does not exist, {second} cannot release the lock" \
    in refusal_of(second.admin_request, 'release_lock', 'Nobody')
second.disconnect()
third.disconnect()
