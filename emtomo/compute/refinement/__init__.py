"""Refinement of orientations, shifts and the average to gold standard."""
