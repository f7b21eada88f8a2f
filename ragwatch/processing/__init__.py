"""Document processing that can be killed, resumed and trusted: ledger, workers, breaker, retry, dead letters."""
