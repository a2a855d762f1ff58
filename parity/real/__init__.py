"""A port on a real checkpoint: transferred, run on real text layer by layer, decoded greedily."""

from parity.real.run import run as run
