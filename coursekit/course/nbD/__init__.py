"""What belongs to notebook D: its checks, claims and quiz."""

__all__: list[str] = []
