"""Started as a folder: `python3 -I -S .../localqueue localqueue VERB`."""

import os
import sys

if __name__ == "__main__":
    # Isolated mode has this folder alone on the path; the package is two levels up.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from hpcspawner.localqueue import main

    sys.exit(main(sys.argv[2:]))
