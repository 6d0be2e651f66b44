"""What belongs to notebook E: its checks, claims and quiz."""

__all__: list[str] = []
