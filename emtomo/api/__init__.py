"""The functions that a script or a notebook calls; import them from :mod:`emtomo` itself."""
