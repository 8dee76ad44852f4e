"""Multi-particle refinement: geometry, optics and poses of tilt series as one sparse least-squares problem."""
