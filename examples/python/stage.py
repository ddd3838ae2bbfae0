"""A service with something to set and something to read: a stage, and a detector on it."""

import math
import time

from msl.network import Service

from common import options


class Stage(Service):
    """A simulated stage. The light on its detector is brightest at 3 mm."""

    def __init__(self):
        super().__init__(name='Stage', max_clients=1)
        self._position = 0.0

    def position(self) -> float:
        """Returns the position in mm."""
        return self._position

    def move_to(self, position: float) -> float:
        """Moves to a position in mm, between 0 and 10, and returns it."""
        if not 0 <= position <= 10:
            raise ValueError(f'{position} mm is not between 0 mm and 10 mm')
        time.sleep(0.01 * abs(position - self._position))
        self._position = float(position)
        return self._position

    def intensity(self) -> float:
        """Returns the intensity of the light, 1 at most."""
        return math.exp(-((self._position - 3) ** 2))


if __name__ == '__main__':
    Stage().start(**options())
