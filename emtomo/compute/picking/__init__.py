"""Picking on micrographs: blobs, and templates of classes or projections, by one local correlation."""
