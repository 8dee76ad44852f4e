"""Tilt series: geometry, projection, back-projection, missing wedge."""
