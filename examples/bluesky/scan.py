"""Scans a stage with a plan of bluesky, through a manager.

First start a manager, and the service: python examples/python/stage.py
"""
import pathlib
import sys

import bluesky.plan_stubs as bps
import bluesky.plans as bp
from bluesky import RunEngine
from bluesky.utils import FailedStatus
from msl.network import connect

from labwire_signal import LabwireSignal

sys.path.append(str(pathlib.Path(__file__).parent.parent / 'python'))
from common import options  # noqa: E402


def main():
    cxn = connect(name='bluesky', **options())
    stage = cxn.link('Stage')
    position = LabwireSignal(stage, name='position', read='position', write='move_to', units='mm')
    intensity = LabwireSignal(stage, name='intensity', read='intensity')

    events = []
    engine = RunEngine({'operator': 'Ada'})
    engine.subscribe(lambda _name, event: events.append(event['data']), 'event')
    engine.subscribe(lambda _name, descriptor: print(descriptor['data_keys']['position']['source']), 'descriptor')
    engine(bp.scan([intensity], position, 0, 6, 7))
    for data in events:
        print(f"{data['position']:.1f} mm: {data['intensity']:.3f}")

    brightest = max(events, key=lambda data: data['intensity'])
    engine(bps.mv(position, brightest['position']))
    print(f'moved to {position.get():.1f} mm')

    # An error of the service ends the plan.
    try:
        engine(bps.mv(position, 99))
    except FailedStatus as error:
        print(str(error.__cause__).splitlines()[-1])
    cxn.disconnect()


if __name__ == '__main__':
    main()
