"""Results in, text out: pure renderers."""
