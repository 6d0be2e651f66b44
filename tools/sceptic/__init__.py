"""What ``doubt.py`` is made of: the changes, the run of a changed notebook, and the judges."""

__all__: list[str] = []
