"""supervisord, with every signal let through: what starts it may hold some back (run.undisturbed), and its services
would inherit that, and end only when they are killed."""

import signal


def main() -> None:
    from supervisor import supervisord

    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    supervisord.main()


if __name__ == "__main__":
    main()
