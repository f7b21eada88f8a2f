"""Dashboards, rules and alerts, declared over the catalogue; ``ragwatch.codegen`` writes them."""
