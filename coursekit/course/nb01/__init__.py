"""What belongs to notebook 01: its checks, claims and quiz."""

__all__: list[str] = []
