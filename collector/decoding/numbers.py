"""Numbers in plain decimal, read a column at a time and exactly as one by one."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from analyzers.facts import Bools, Floats, Ints

# Up to so many digits a number is an exact integer over an exact power of ten, so that the one
# division rounds correctly. What is longer is read by itself.
DIGITS: Final = 15
WIDTH: Final = 24  # sign, digits and point fit; also what gathers fastest
_TENS: Final = 10.0 ** np.arange(DIGITS + 1)
_ZERO, _POINT, _MINUS = (np.uint8(ord(letter)) for letter in "0.-")


def parse(letters: npt.NDArray[np.uint8], lengths: Ints) -> tuple[Ints, Floats, Bools, Bools]:
    """What n texts say as JSON numbers: as integers, as floats, which are whole, which are odd.

    ``letters`` has shape (n, WIDTH), of which ``lengths`` count. Odd is what is no number in
    JSON, has an exponent or over 15 digits; whatever else is said of those means nothing.
    """
    n = len(lengths)
    longest = int(lengths.max(initial=0))
    mantissa = np.zeros(n, np.int64)
    decimals, digits, points = (np.zeros(n, np.int64) for _ in range(3))
    odd = (lengths < 1) | (lengths > DIGITS + 2)
    minus = letters[:, 0] == _MINUS
    for place in range(min(longest, DIGITS + 2)):
        letter = letters[:, place]
        inside = lengths > place
        digit = letter - _ZERO  # what is no digit wraps around to more than 9
        is_digit = (digit <= 9) & inside
        is_point = (letter == _POINT) & inside
        known = is_digit | is_point | ~inside
        odd |= ~(known | minus) if place == 0 else ~known
        mantissa = np.where(is_digit, mantissa * 10 + digit, mantissa)
        digits += is_digit
        decimals += is_digit & (points > 0)
        points += is_point
    whole = digits - decimals
    begins = letters[np.arange(n), minus.view(np.int8)] == _ZERO
    odd |= (digits > DIGITS) | (whole < 1) | (points > 1) | (begins & (whole > 1))
    odd |= (points > 0) & (decimals < 1)
    value = mantissa / _TENS[np.minimum(decimals, DIGITS)]
    return np.where(minus, -mantissa, mantissa), np.where(minus, -value, value), points == 0, odd
