"""Pictures of every output, and the report that shows them; nothing here computes science or edits a set."""
