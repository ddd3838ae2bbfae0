"""110 MB in one request, and in one reply. Needs the service Laboratory."""
from common import client, link

SIZE = 110_000_000

cxn = client()
laboratory = link(cxn, 'Laboratory')
assert laboratory.length_of('q' * SIZE) == SIZE
text = laboratory.text_of_length(SIZE)
assert len(text) == SIZE and text.count('r') == SIZE
# The connection still serves.
assert laboratory.repeat(1) == [[1], {}]
cxn.disconnect()
