"""A real RAG over the documentation of the Python that it runs on, or over the user's own documents.

``rag`` and what it stands on (``corpus``, ``index``, ``rerank``, ``generate``) are written as a user would write them:
nothing in them knows of ragwatch. ``golden``, ``evaluate``, ``traffic`` and ``faults`` put the app to work.
"""
