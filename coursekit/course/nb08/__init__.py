"""What belongs to notebook 08: its checks, claims and quiz."""

__all__: list[str] = []
