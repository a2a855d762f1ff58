"""The Flax side of a case: built abstractly, filled, traced, run. With `ideal`, the only room that imports jax."""

from parity.port.build import Port as Port
from parity.port.build import build as build
from parity.port.run import Compiled as Compiled
from parity.port.run import Followed as Followed
from parity.port.run import Traced as Traced
from parity.port.run import compiled as compiled
from parity.port.run import form as form
from parity.port.run import traced as traced
