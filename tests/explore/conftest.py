"""Tests that switch ragwatch on in their own process."""

from __future__ import annotations

from tests.support.off import off_afterwards  # noqa: F401  (a fixture)
