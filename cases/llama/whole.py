"""What is drawn for the whole models: how they are called, and with what."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from cases.llama.palettes import Config, batches, thresholds
from parity.draw import floats, masks, one_of, padding, positions, tokens

MASKS = ("none", "padding", "packed", "packed with a cache", "additive", "bool")
PACKED = {"packed": False, "packed with a cache": True}  # whether a cache is used


def forms(config: Config) -> SearchStrategy[dict[str, Any]]:
    """Sizes past every threshold, which mask is given, positions or none, ids or embeddings, and what is asked for."""
    calls = st.fixed_dictionaries(
        {
            "mask": one_of(*MASKS),
            "positions": one_of(False, True),
            "embeds": one_of(False, True),
            "use_cache": one_of(False, True),
            "beyond": one_of(0, -1, 2),
            "states": one_of(False, True),
            "weights": one_of(False, True),
        }
    )
    return st.builds(lambda sizes, call: {**sizes, **_fitting(call)}, batches(*thresholds(config)), calls)


def _fitting(call: dict[str, Any]) -> dict[str, Any]:
    """Calls that there are: a padding mask of another length only with a cache, and packing only with positions.

    Packed sequences are told apart by their positions alone, without a mask, and only where no cache is used.
    """
    if call["mask"] in PACKED:
        call = {**call, "positions": True, "use_cache": PACKED[call["mask"]]}
    return call if call["mask"] == "padding" and call["use_cache"] else {**call, "beyond": 0}


@st.composite
def inputs(draw: st.DrawFn, config: Config, form: Config) -> dict[str, Any]:
    """Ids or embeddings, a mask of the form's kind, positions if given, and the switches."""
    batch, length = form["batch"], form["length"]
    drawn: dict[str, Any] = {}
    if form["embeds"]:
        drawn["inputs_embeds"] = draw(floats((batch, length, config["hidden_size"])))
    else:
        drawn["input_ids"] = draw(tokens((batch, length), config["vocab_size"]))
    if form["mask"] == "padding":
        drawn["attention_mask"] = draw(padding(batch, max(1, length + form.get("beyond", 0))))
    elif form["mask"] in ("additive", "bool"):
        drawn["attention_mask"] = draw(masks(batch, length, form=form["mask"]))
    if form["positions"]:
        forms = ("packed",) if form["mask"] in PACKED else ("arange", "rows", "packed", "random")
        drawn["position_ids"] = draw(positions(batch, length, starts=(0, 5, 250, 4000), forms=forms))
    switches = {"use_cache": "use_cache", "states": "output_hidden_states", "weights": "output_attentions"}
    return drawn | {argument: form[name] for name, argument in switches.items()}
