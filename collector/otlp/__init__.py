"""OpenTelemetry: logs, metrics and spans as events, over HTTP, gRPC and the Collector's topics.

Requests are read here and their records made into lines of our own event JSON; whether such a line
is a valid event is ``decode``'s business, as for every other way in.
"""
