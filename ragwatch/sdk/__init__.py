"""The SDK: what runs inside the instrumented app."""
