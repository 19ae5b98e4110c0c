"""What a switch's OVSDB server says of its tunnel ports and its own VTEP address, live."""
