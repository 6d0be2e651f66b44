"""What belongs to notebook B: its checks, claims and quiz."""

__all__: list[str] = []
