"""Settings of the SDK and the agent, and where each value came from."""
