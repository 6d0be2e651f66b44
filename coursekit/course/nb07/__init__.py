"""What belongs to notebook 07: its checks, claims and quiz."""

__all__: list[str] = []
