"""``python -m domainclip`` and ``torchrun -m domainclip``."""

from domainclip.cli.main import main

main()
