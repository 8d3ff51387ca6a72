"""What is sent to us: requests within their limits, waiting for their turn."""
