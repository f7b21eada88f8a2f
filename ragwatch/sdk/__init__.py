"""The SDK: what runs inside the instrumented app."""

from ragwatch.sdk.otel_private import survive_unreadable_limit

survive_unreadable_limit()
