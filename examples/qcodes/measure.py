"""Measures with QCoDeS, through a manager: sweeps a stage, and saves the data.

First start a manager, and the service: python examples/python/stage.py
"""
import pathlib
import sys
import tempfile

from msl.network import connect
from qcodes.dataset import Measurement, initialise_or_create_database_at, load_or_create_experiment
from qcodes.validators import Numbers

from labwire_instrument import LabwireInstrument

sys.path.append(str(pathlib.Path(__file__).parent.parent / 'python'))
from common import options  # noqa: E402


def main():
    cxn = connect(name='qcodes', **options())
    stage = LabwireInstrument('stage', cxn, 'Stage')
    stage.add_service_parameter('position', read='position', write='move_to', unit='mm', vals=Numbers(0, 10))
    stage.add_service_parameter('intensity', read='intensity')
    print(stage.get_idn()['model'])

    with tempfile.TemporaryDirectory() as folder:
        initialise_or_create_database_at(str(pathlib.Path(folder) / 'measurements.db'))
        measurement = Measurement(exp=load_or_create_experiment('beam', 'stage'))
        measurement.register_parameter(stage.position)
        measurement.register_parameter(stage.intensity, setpoints=(stage.position,))
        with measurement.run() as run:
            for position in range(7):
                stage.position(position)
                run.add_result((stage.position, position), (stage.intensity, stage.intensity()))
        data = run.dataset.get_parameter_data()['stage_intensity']
        for position, intensity in zip(data['stage_position'], data['stage_intensity']):
            print(f'{position:.1f} mm: {intensity:.3f}')
        run.dataset.conn.close()

    # QCoDeS checks the value before anything is sent.
    try:
        stage.position(99)
    except ValueError as error:
        print(error.args[0].split(':')[0])
    # The service checks it again.
    try:
        stage.call('move_to', 99)
    except RuntimeError as error:
        print(str(error).splitlines()[-1])
    stage.close()
    cxn.disconnect()


if __name__ == '__main__':
    main()
