"""``python -m controller.pipeline < DUMP``: prints docs/pipeline.md around a real dump."""

import sys

from controller.pipeline.tables import document

if __name__ == "__main__":
    sys.stdout.write(document(sys.stdin.read()))
