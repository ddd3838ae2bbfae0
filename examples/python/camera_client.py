"""An image of the service `camera` with NumPy, from a client that knows only JSON."""
import base64

import numpy as np
from msl.network import connect

from common import options

cxn = connect(name='camera_client', **options())
camera = cxn.link('Camera')


def to_array(value):
    array = value['$array']
    data = base64.b64decode(array['base64'])
    return np.frombuffer(data, array['dtype']).reshape(array['shape'])


def to_value(array):
    array = np.ascontiguousarray(array)
    data = base64.b64encode(array.tobytes()).decode()
    return {'$array': {'dtype': array.dtype.str, 'shape': array.shape, 'base64': data}}


image = to_array(camera.image(height=3, width=4))
print(image)
print(image.dtype, image[1].sum())
print(camera.mean(to_value(image)))
cxn.disconnect()
