"""Phantoms with known truth: for the demo, the tests, and users who want to try a workflow."""
