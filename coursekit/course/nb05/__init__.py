"""What belongs to notebook 05: its checks, claims and quiz."""

__all__: list[str] = []
