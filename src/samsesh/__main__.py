"""`python -m samsesh`."""

import sys

if __name__ == "__main__":
    try:
        from samsesh.cli.entry import main
    except KeyboardInterrupt:  # before the program could say how it takes one
        sys.exit(130)
    main()
