"""`python -m samsesh`."""

from samsesh.cli.main import main

if __name__ == "__main__":
    main()
