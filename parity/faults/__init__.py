"""Faults at every operation of a traced port, and what is known of those that change nothing."""

from parity.faults.callers import Place as Place
from parity.faults.callers import owner as owner
from parity.faults.claim import Claim as Claim
from parity.faults.every import BODIES as BODIES
from parity.faults.every import Injected as Injected
from parity.faults.every import at as at
from parity.faults.every import every as every
from parity.faults.every import places as places
from parity.faults.paths import CARRIERS as CARRIERS
from parity.faults.paths import free as free
from parity.faults.paths import roots as roots
from parity.faults.reasons import claims as claims
from parity.faults.site import Fault as Fault
from parity.faults.site import Site as Site
from parity.faults.site import is_number as is_number
from parity.faults.values import PICKS as PICKS
from parity.faults.values import perturbed as perturbed
