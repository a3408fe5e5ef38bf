"""What the chaos and bench tools share: durable servers, hub processes, load, and a receiver."""
