"""What windows do, without windows: tested without a display."""
