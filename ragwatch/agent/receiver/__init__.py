"""The receiver process: OTLP over gRPC and HTTP into the inbox. The request path never parses a body."""
