"""What belongs to the dashboard: its checks and claims."""

__all__: list[str] = []
