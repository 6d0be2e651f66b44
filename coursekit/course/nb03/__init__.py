"""What belongs to notebook 03: its checks, claims and quiz."""

__all__: list[str] = []
