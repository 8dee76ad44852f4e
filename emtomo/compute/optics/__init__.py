"""The microscope: contrast transfer function and dose."""
