"""Port PyTorch models to Flax and know that the port is right, layer by layer."""

from parity.case import Case as Case
from parity.case import Example as Example
from parity.case import Suite as Suite
from parity.case import Variant as Variant
from parity.case import Weights as Weights
from parity.edit import both as both
from parity.edit import edit as edit
from parity.edit import remap as remap
from parity.edit import same as same
from parity.errors import BadInput as BadInput
from parity.errors import OutputMismatch as OutputMismatch
from parity.errors import ParityError as ParityError
from parity.errors import WeightMapError as WeightMapError
from parity.weights import Rules as Rules
from parity.weights import absent as absent
from parity.weights import chain as chain
from parity.weights import copy as copy
from parity.weights import permute as permute
from parity.weights import reshape as reshape
from parity.weights import rules as rules
from parity.weights import split as split
from parity.weights import stack as stack
from parity.weights import tied as tied
from parity.weights import transpose as transpose
