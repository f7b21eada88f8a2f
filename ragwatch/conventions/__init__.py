"""Conventions: what a span says about the RAG step that it is; tables, not code."""
