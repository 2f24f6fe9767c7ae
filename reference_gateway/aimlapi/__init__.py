"""The AI/ML API surface: chat completions in that vendor's dialect, with the cost in every reply."""
