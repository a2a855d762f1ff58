"""The torch side of a case: built, filled, run. With `ideal`, the only room that imports torch."""

from parity.reference import given as given
from parity.reference.bandwidth import bandwidth as bandwidth
from parity.reference.build import Reference as Reference
from parity.reference.build import build as build
from parity.reference.build import jittered as jittered
from parity.reference.build import one_thread as one_thread
from parity.reference.build import quiet as quiet
from parity.reference.draw import parameters as parameters
from parity.reference.gradient import gradients as gradients
from parity.reference.gradient import jittered_gradients as jittered_gradients
from parity.reference.training import trained as trained
