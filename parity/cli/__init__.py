"""The command line. Thin: torch and jax are imported only by what runs something."""

from parity.cli.entry import main as main
