"""`artgen` and `python -m artcli`."""


def main() -> None:
    from artcli.cli import app

    app()


if __name__ == "__main__":
    main()
