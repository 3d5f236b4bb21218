"""The command line as `python -m redhanded`."""

from redhanded.cli.main import main

if __name__ == "__main__":  # a spawned worker reads this module too, and must not start the command again
    main()
