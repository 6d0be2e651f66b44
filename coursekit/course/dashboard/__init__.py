"""What belongs to the dashboard: its checks and claims."""
