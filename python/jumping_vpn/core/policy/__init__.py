"""Policy: its limits, and the judgements that turn figures into inputs and choices."""
