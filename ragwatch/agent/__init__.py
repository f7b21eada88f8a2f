"""The sidecar: OTLP in, KPIs out, everything on disk until it is delivered. ``app`` is the wiring."""
