"""Which of the values that somebody stores a stated one means.

Cosines alone take "navy" for beige; by the rules of `agreement` it is a blue, "soft leather" a leather, "16GB" "16 GB".

Knows: which of several agreements is best. Does not know: the rules, where texts and cosines come from.
"""

from collections.abc import Sequence
from itertools import repeat

from service.matching.agreement import agreement
from service.matching.parsing import Found, Wanted


def most_agreeing(found: Found, stored: Sequence[Wanted], cosines: Sequence[float]) -> tuple[int, float]:
    """(place, agreement in [-1, 1]) of the stored value that the stated one agrees with most.

    Of those that it agrees with equally, that of the largest cosine. `stored` and `cosines` are not empty.
    """
    agreements = [agreement(*each) for each in zip(stored, repeat(found), cosines)]
    best = max(range(len(stored)), key=lambda place: (agreements[place], cosines[place]))
    return best, agreements[best]
