"""What a check says of a wrong answer."""

from coursekit import exercises
from coursekit.exercises.verdicts import WRONG


def refused(id, answer, *words):
    """Assert that the answer is wrong, and that message and hint hold all these words; return the verdict."""
    verdict = exercises.check(id, answer)
    assert verdict.outcome == WRONG
    for word in words:
        assert word in verdict.message + verdict.hint
    return verdict
