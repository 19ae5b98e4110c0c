"""The HTTP side: what is offered, and to whom."""
