"""Results as a notebook shows them."""

from parity.report import html, terminal
from parity.results import Results


class Shown(Results):
    """Results that show themselves: as a table in a notebook, as the terminal's report when they are printed."""

    def _repr_html_(self) -> str:
        return html.fragment(self)

    def __str__(self) -> str:
        return terminal.render(self)


def shown(results: Results) -> Shown:
    """The same results, able to show themselves."""
    return Shown(**{name: getattr(results, name) for name in Results.model_fields})
