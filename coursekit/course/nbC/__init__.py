"""What belongs to notebook C: its checks, claims and quiz."""

__all__: list[str] = []
