"""Start the command line; what a shell asks for at TAB is answered before anything that takes time is imported."""

import sys

COMPLETION = ("--shell-completion", "-sc")


def main() -> int:
    """Run the command line of this process and return its exit code."""
    if len(sys.argv) == 3 and sys.argv[1] in COMPLETION and sys.argv[2].startswith("query="):
        return complete(sys.argv[2])
    from trainctl import cli

    return cli.main()


def complete(word: str) -> int:
    """Print what a shell may offer; whatever goes wrong, nothing is written into the user's line."""
    try:
        from trainctl.command import completion
        from trainctl.command.help import COMMANDS

        sys.stdout.write(completion.answer([word], COMMANDS))
        sys.stdout.flush()
    except Exception:  # noqa: BLE001 - of any kind: an error would end up in the line that is being typed
        return 2
    return 0
