"""The four production patterns under the names that people know them by; each is a thin layer over the same engine."""
