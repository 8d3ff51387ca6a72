"""What is read over HTTP: verdicts, the page's data, probes, the OpenAPI document."""
