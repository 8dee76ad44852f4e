"""File formats: a path in, arrays and tables out, and back; no engine, no window."""
