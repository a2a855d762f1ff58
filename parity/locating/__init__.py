"""Where a port and its reference part: a whole model walked part by part, the culprit found, a cause suggested."""
