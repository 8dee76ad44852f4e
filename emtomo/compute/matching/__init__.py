"""Template matching: find copies of a reference, with their orientations, in tomograms."""
