"""What belongs to notebook 04: its checks, claims and quiz."""

__all__: list[str] = []
