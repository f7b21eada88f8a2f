"""The KPI engine and what is made of its state: ``RAGMetrics``, Prometheus text, OTLP metrics."""
