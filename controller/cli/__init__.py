"""The ``weft`` command: an HTTP client of the REST API, and nothing of the controller itself."""
