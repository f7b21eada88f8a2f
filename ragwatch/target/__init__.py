"""A RAG app that a tool asks questions: the user's own function, a URL, or the demo.

``target`` says what one is, ``asking`` asks it, ``answer`` reads what comes back, ``url`` and ``demo`` make two kinds.
"""
