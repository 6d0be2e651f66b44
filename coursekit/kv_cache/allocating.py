"""How much memory a request gets: room for the longest in one piece, a power of two, or pages."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coursekit._core import arguments, display

__all__ = ["POLICIES", "Allocation", "Policy", "allocate", "expected_waste", "mean_for_waste", "pages"]

Policy = Literal["contiguous", "power of two", "paged"]
POLICIES: tuple[Policy, ...] = ("contiguous", "power of two", "paged")
PAGE = 16  # tokens, as vLLM has them
MOST_TOKENS = 2**31  # of one request, and of all together a number that int64 holds


def pages(tokens: int, page_size: int = PAGE) -> int:
    """Return how many pages hold so many tokens.

    Parameters
    ----------
    tokens : int
        0 or more.
    page_size : int, optional
        Tokens per page.

    Returns
    -------
    int
        The quotient, rounded up.

    Raises
    ------
    TypeError, ValueError
        Unless they are such numbers.
    """
    tokens = arguments.integer("tokens", tokens, 0, MOST_TOKENS)
    return -(-tokens // arguments.integer("page_size", page_size, 1, MOST_TOKENS))


def expected_waste(mean: float, page_size: int = PAGE) -> float:
    """Return the share of paged memory that stays empty, if the last page is as likely to hold any count.

    Parameters
    ----------
    mean : float
        Tokens per request.
    page_size : int, optional
        Tokens per page.

    Returns
    -------
    float
        w / (mean + w) with w = (page_size - 1) / 2, the empty slots of the last page on average.

    Raises
    ------
    TypeError, ValueError
        For a mean that is not above 0, or a page without tokens.
    """
    empty = (arguments.integer("page_size", page_size, 1, MOST_TOKENS) - 1) / 2
    return empty / (arguments.positive("mean", mean, "tokens") + empty)


def mean_for_waste(share: float, page_size: int = PAGE) -> float:
    """Return how many tokens requests need on average for pages to waste no more than a share.

    Parameters
    ----------
    share : float
        Above 0, below 1.
    page_size : int, optional
        Tokens per page.

    Returns
    -------
    float
        Tokens: what :func:`expected_waste` turned round gives.

    Raises
    ------
    TypeError, ValueError
        For a share of 0, of 1, or outside, or a page without tokens.
    """
    wanted = arguments.real("share", share, 0, 1)
    if wanted in (0, 1):
        raise ValueError(f"share must lie between 0 and 1, both excluded; got {wanted:g}")
    empty = (arguments.integer("page_size", page_size, 1, MOST_TOKENS) - 1) / 2
    return empty / wanted - empty


@dataclass(frozen=True, repr=False, eq=False)
class Allocation(display.Text):
    """What a policy reserves for requests of known lengths, and what of it stays empty.

    Parameters
    ----------
    policy : str
        One of ``POLICIES``.
    lengths : ndarray
        Tokens, [requests].
    reserved : ndarray
        Slots, each for the keys and values of one token, [requests].
    """

    policy: Policy
    lengths: NDArray[np.int64]
    reserved: NDArray[np.int64]

    @property
    def wasted(self) -> int:
        """Slots that are reserved and hold no token."""
        return int(self.reserved.sum() - self.lengths.sum())

    @property
    def waste(self) -> float:
        """The share of the reserved slots that hold no token."""
        return self.wasted / int(self.reserved.sum())

    def fit(self, slots: int) -> int:
        """Return how many of the requests, first come, first served, a memory holds at once.

        Parameters
        ----------
        slots : int
            Of the memory.

        Returns
        -------
        int
            From the first request to the last that fits.

        Raises
        ------
        TypeError, ValueError
            For what is no such number.
        """
        most = arguments.integer("slots", slots, 0)
        return int(np.searchsorted(self.reserved.cumsum(), most, side="right"))

    def __str__(self) -> str:
        return (
            f"{self.policy}: {self.reserved.sum():,} slots for {self.lengths.sum():,} tokens, "
            f"{100 * self.waste:.1f} % of them empty"
        )


def allocate(lengths: ArrayLike, policy: Policy, *, page_size: int = PAGE, most: int = 1024) -> Allocation:
    """Return what a policy reserves for each request.

    Parameters
    ----------
    lengths : array_like
        Tokens of each request when it is finished, at least one each, [requests].
    policy : {"contiguous", "power of two", "paged"}
        Room for the longest request that is allowed, in one piece; for the next power of two, in one piece;
        or whole pages, wherever they lie.
    page_size : int, optional
        Tokens per page.
    most : int, optional
        The longest request that is allowed.

    Returns
    -------
    Allocation
        Slots per request.

    Raises
    ------
    TypeError, ValueError
        For lengths that are not whole numbers from 1 to ``most``.
    """
    chosen: Any = arguments.choice("policy", policy, POLICIES)
    page_size = arguments.integer("page_size", page_size, 1, MOST_TOKENS)
    most = arguments.integer("most", most, 1, MOST_TOKENS)
    found = np.array(arguments.integers("lengths", lengths, 1, most), np.int64)
    if chosen == "contiguous":
        return Allocation(chosen, found, np.full_like(found, most))
    if chosen == "power of two":
        powers = [1 << math.ceil(math.log2(length)) for length in found.tolist()]
        return Allocation(chosen, found, np.array(powers, np.int64))
    return Allocation(chosen, found, -(-found // page_size) * page_size)
