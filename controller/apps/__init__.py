"""The os-ken applications: thin shells, the only place that handles os-ken's events."""
