"""`python -m splitter`, and the entry of the one-file program that PyInstaller makes."""

import sys

from splitter.cli.main import main

if getattr(sys, "frozen", False) and sys.argv[1:2] == ["-m"]:  # that program is its own Python: -m MODULE ARGUMENTS
    import runpy

    module = sys.argv[2]
    sys.argv[:3] = sys.argv[:1]
    if module == "splitter":
        main()
    elif module.startswith("splitter."):
        runpy.run_module(module, run_name="__main__", alter_sys=True)
else:
    main()
