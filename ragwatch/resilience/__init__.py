"""Breaker, retry, limits, deadline: pure cores with thin drivers. Clock, sleep and randomness are arguments."""
