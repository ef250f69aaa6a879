"""argv -> verb -> the command's function; prints errors, sets exit codes. Imports no torch."""

import sys


def main() -> int:
    from trainctl import compose, errors
    try:
        import yaml
        print(yaml.safe_dump(compose.compose(sys.argv[1:]), sort_keys=False))
    except errors.TrainctlError as e:
        print(e, file=sys.stderr); return e.exit_code
    return 0
