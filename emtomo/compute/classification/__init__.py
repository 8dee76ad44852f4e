"""2D classification: images of particles sorted into classes by their likelihood, and averaged."""
