"""Property tests repeat exactly; WEFT_EXAMPLES=1000 looks for new counterexamples instead."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=50)
wanted = os.environ.get("WEFT_EXAMPLES")
if wanted:
    settings.register_profile("search", deadline=None, max_examples=int(wanted))
settings.load_profile("search" if wanted else "repeatable")
