"""Load on a RAG app, and what it does to latency, errors, cost and accuracy.

``load`` and ``schedule`` say when a question is asked, ``questions`` which; ``drivers`` and ``engine`` ask them;
``tally`` adds up, ``report`` is the outcome. ``knee``, ``usl`` and ``saturation`` find where an app gives way;
``compare`` and ``conditions`` judge. Clocks, randomness and rates are arguments of all that decides.
"""
