"""What belongs to notebook 06: its checks, claims and quiz."""

__all__: list[str] = []
