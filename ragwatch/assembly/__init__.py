"""Spans to query records: bounded assembly, completion, critical path."""
