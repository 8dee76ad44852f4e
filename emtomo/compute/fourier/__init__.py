"""Fourier transforms: coefficients, sections, insertion, reconstruction, filters, shell correlation, resampling."""
