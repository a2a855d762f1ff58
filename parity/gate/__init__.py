"""What CI asks of a port: one file a question, and one that asks them all."""

from parity.gate.ask import QUESTIONS as QUESTIONS
from parity.gate.ask import Asked as Asked
from parity.gate.ask import gate as gate
