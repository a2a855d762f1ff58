"""An ideal machine: one program evaluated in exact float64, with one module for torch and the others for JAX."""
