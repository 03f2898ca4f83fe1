"""moto's server, in which of several who create an object one does. Run as a program by `tests.bucket`."""

import sys

from moto.server import main

from homeport.simulation.aws import moto_patch

if __name__ == "__main__":
    moto_patch.objects_created_once()
    main(sys.argv[1:])
