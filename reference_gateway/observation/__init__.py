"""What an operator sees of a running gateway: metrics, logs and traces. None of them ever holds a key or a text."""
