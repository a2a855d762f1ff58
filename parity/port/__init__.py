"""The Flax side of a case: built abstractly, filled, traced, run. With `ideal`, the only room that imports jax."""

from parity.port import given as given
from parity.port.apart import apart as apart
from parity.port.build import Port as Port
from parity.port.build import build as build
from parity.port.effects import effects as effects
from parity.port.gradient import Pullback as Pullback
from parity.port.gradient import compiled_pullback as compiled_pullback
from parity.port.gradient import traced_pullback as traced_pullback
from parity.port.run import Compiled as Compiled
from parity.port.run import Followed as Followed
from parity.port.run import Traced as Traced
from parity.port.run import compiled as compiled
from parity.port.run import form as form
from parity.port.run import traced as traced
from parity.port.stream import Asked as Asked
from parity.port.stream import Computed as Computed
from parity.port.stream import stream as stream
from parity.port.stream import streamed_outputs as streamed_outputs
from parity.port.training import Steps as Steps
from parity.port.training import steps as steps
from parity.port.transform import by_row as by_row
from parity.port.transform import eager as eager
from parity.port.transform import gradient as gradient
from parity.port.transform import recomputed as recomputed
