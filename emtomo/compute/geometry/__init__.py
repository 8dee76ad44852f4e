"""Geometrical models: from a user's points to evenly spaced, oriented positions."""
