"""Windows; their logic, without any window, is in ``core``."""
