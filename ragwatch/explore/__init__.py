"""One question at a time, seen whole: the answer as it streams, its steps, documents, tokens, cost and trace.

``asked`` is a question and all that came of it, ``difference`` what two of them differ in, ``judgements`` the growing
golden file. ``shell`` carries out what is typed, ``view`` shows it; ``prompt`` and ``pipe`` are the two ways in.
"""
