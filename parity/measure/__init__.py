"""The measurements of the harness itself."""
