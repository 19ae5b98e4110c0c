"""OVSDB: what a switch's server says of its ports and its own VTEP address, live; and what
makes a switch ready (:mod:`controller.ovsdb.provision`)."""
