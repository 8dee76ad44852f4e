"""Picking by a small convolutional network that learns from a few references."""
