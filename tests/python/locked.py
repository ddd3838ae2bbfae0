"""A client that cannot use a locked service. Expects the texts given as parameter in each refusal."""
from common import PARAMETERS, client, refusal_of

rival = client('rival')
for refusal in (
        refusal_of(rival.link, PARAMETERS['service']),
        refusal_of(rival.admin_request, 'acquire_lock', PARAMETERS['service'], shared=True, wait=0),
):
    for text in PARAMETERS['expected']:
        assert text in refusal, refusal
rival.disconnect()
