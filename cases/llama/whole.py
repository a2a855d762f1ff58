"""What is drawn for the whole models: how they are called, and with what."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from cases.llama.palettes import Config, batches, limits, thresholds
from parity.draw import floats, masks, one_of, padding, positions, tokens

MASKS = ("none", "padding", "packed", "packed with a cache", "too short", "too long", "additive", "bool")
PACKED = {"packed": False, "packed with a cache": True}  # whether a cache is used
BEYOND = {"too short": -1, "too long": 2}  # how much longer than the tokens a padding mask is


def forms(config: Config) -> SearchStrategy[dict[str, Any]]:
    """Sizes past every threshold, which mask is given, positions or none, ids or embeddings, and what is asked for."""
    calls = st.fixed_dictionaries(
        {
            "mask": one_of(*MASKS),
            "positions": one_of(False, True),
            "embeds": one_of(False, True),
            "use_cache": one_of(False, True),
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
    beyond = BEYOND.get(call["mask"], 0)
    return {**call, "mask": "padding", "use_cache": True, "beyond": beyond} if beyond else {**call, "beyond": 0}


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
        starts = (0, 5, -2, 250, 4000, *_reaching(config, length))
        drawn["position_ids"] = draw(positions(batch, length, starts=starts, forms=forms))
    switches = {"use_cache": "use_cache", "states": "output_hidden_states", "weights": "output_attentions"}
    return drawn | {argument: form[name] for name, argument in switches.items()}


def _reaching(config: Config, length: int) -> list[int]:
    """Starts from which a sequence ends exactly at a limit of the tables, and just past it."""
    ends = sorted({end for limit in limits(config) for end in (limit, limit + 1)})
    return [end - length for end in ends if end > length]
