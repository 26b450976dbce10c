"""The drivers and the data planes that ship, in a world of virtual time, weather and faults."""
