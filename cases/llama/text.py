"""Real text for a real checkpoint: a few pages of prose, and the beginnings of five that a model can go on with."""

TEXT = """\
The lighthouse at Carrow Point was built in 1871, after the winter in which four ships were lost on the same reef. It
took three summers, because stone could be landed only at low water and only when the wind stood in the east. The
foreman, a quiet man named Aldous Finch, kept a diary in which he wrote down the weather, the number of blocks laid,
and nothing else. On the ninth of August he noted: "Fair. Sixty-two." On the tenth: "Gale. None. One mason drowned."
People who read the diary today often complain that he had no feelings. I think that he had no room for them.

When the lamp was first lit, fishermen on the far side of the bay complained that it frightened the herring. A
committee was formed, as committees are, and it met eleven times. Its report, which can still be read in the county
archive, runs to 140 pages and concludes that herring do not mind. By the time it was printed, the herring had moved
north anyway, and the village that had lived from them had begun to live from painters, who liked the light.

A lighthouse is a simple machine. There is a lamp, a lens that gathers its rays into a beam, and a clockwork that turns
the lens, so that a ship sees a flash and then the dark, and can tell from the length of the dark which light it is
looking at. Carrow Point shows two flashes every fifteen seconds. The next light to the south shows one every ten; the
next one to the north burns without a pause. A sailor with a watch and a list needs nothing more than that to know where
he is, even if he has seen no land for a week. What makes the system work is not that each light is bright, but that no
two neighbours are alike.

My grandmother was the keeper's daughter. She wound the clockwork every four hours from the age of nine, and she told
me that the hardest part was not the stairs, of which there were 167, nor the cold, but the moths. They came in
thousands on warm nights, beat against the glass, and had to be swept off with a broom: if they were left, the flashes
grew dim, and a ship's captain would write a letter. "Dear Sir," one of them began, "last night I took your light for
another, and nearly paid for it." Her father pinned it above the desk and never spoke of it.

Today the lamp is electric, the clockwork stands in a museum, and a computer in a town two hundred miles away checks
every minute whether the light is as it should be. It compares the current, the speed of the lens and the time between
flashes with what they ought to be, and raises an alarm when any of them differs by more than a little. How much is a
little? The engineers argued about that for longer than the masons took to build the tower. Too strict, and somebody
drives out at night for a gust of wind; too loose, and one morning there is a ship on the rocks.
"""

PROMPTS = (
    "The capital of France is",
    "A lighthouse is a tower with a bright light at the top. Ships use it at night to",
    "Water boils at 100 degrees Celsius. In Fahrenheit this is",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    "Once upon a time, in a small village by the sea, there lived an old fisherman who had three daughters. The eldest",
)
