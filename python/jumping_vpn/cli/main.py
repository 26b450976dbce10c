"""`jvpn`: the list of commands. Each is a file of its own, loaded when it is called."""

import click

from jumping_vpn.cli.lazy import Entry, LazyGroup, examples

GATEWAY = {
    "init": Entry("gateway_init:init", "Create a gateway: its keys and its configuration."),
    "add-client": Entry("gateway_add_client:add_client", "Let a client in; print its one file."),
    "reload": Entry("gateway_reload:reload", "Have a running gateway read its clients again."),
    "run": Entry("gateway_run:run", "Serve clients, in the foreground."),
}
AUDIT = {
    "verify": Entry(
        "audit_verify:verify", "Check that event logs are whole, and every move legal."
    ),
}
COMMANDS = {
    "gateway": Entry("main:gateway", "Create, fill and run a gateway."),
    "up": Entry("up:up", "Bring the tunnel up, in the foreground."),
    "status": Entry("status:status", "Show the session, its transport and the candidates."),
    "jump": Entry("jump:jump", "Move the session to another transport, now."),
    "down": Entry("down:down", "End the session and take the tunnel down."),
    "sessions": Entry("sessions:sessions", "List the sessions of a running gateway."),
    "audit": Entry("main:audit", "Check what was written down."),
    "doctor": Entry("doctor:doctor", "Say what this machine lacks, and how to get it."),
    "version": Entry("version:version", "Print the version."),
}


@click.group(
    cls=LazyGroup,
    entries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "jvpn gateway init /etc/jumping-vpn --endpoint vpn.example.org:4789",
        "jvpn gateway add-client /etc/jumping-vpn laptop > laptop.toml",
        "jvpn gateway run /etc/jumping-vpn",
        "jvpn up laptop.toml",
    ),
)
def jvpn() -> None:
    """Run a VPN whose sessions outlive the network."""


@click.group(
    cls=LazyGroup,
    entries=GATEWAY,
    epilog=examples(
        "jvpn gateway init /etc/jumping-vpn --endpoint vpn.example.org:4789",
        "jvpn gateway run /etc/jumping-vpn",
    ),
)
def gateway() -> None:
    """Create, fill and run a gateway."""


@click.group(
    cls=LazyGroup,
    entries=AUDIT,
    epilog=examples("jvpn audit verify /etc/jumping-vpn/events.jsonl"),
)
def audit() -> None:
    """Check what was written down."""


def main() -> None:
    """Run the command line."""
    jvpn(prog_name="jvpn")
