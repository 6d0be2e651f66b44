"""What belongs to notebook 02: its checks, claims and quiz."""

__all__: list[str] = []
