"""What both services share: clock, supervision, control socket, service manager."""
