"""What belongs to notebook F: its checks, claims and quiz."""

__all__: list[str] = []
