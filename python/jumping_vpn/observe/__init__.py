"""How a run is seen from outside: events are exported, and what was exported is audited."""
