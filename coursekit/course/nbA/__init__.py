"""What belongs to notebook A: its checks, claims and quiz."""

__all__: list[str] = []
